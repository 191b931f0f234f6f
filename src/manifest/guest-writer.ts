import { ProxyError } from '../errors.ts';
import { ManifestWriter, type ManifestWriterContext } from './manifest-writer.ts';
import { PrimaryClient } from './primary-client.ts';
import type { NodeState } from './primary-protocol.ts';
import { peekTerms } from './primary-terms.ts';
import { ReplicaShipper } from './replica-shipper.ts';
import type {
  ClusterAsk,
  WriterRequest,
  WriterResponse,
  WriterSettings,
} from './writer-protocol.ts';
import { WriterTrouble } from './writer-trouble.ts';

/**
 * The writer of a process beside a node on the same folder: it follows no primary and asks none, so that the node stays the
 * only one that does for this file. Changes are handed to the node by its control socket and wait while it is away.
 */
export class GuestWriter {
  readonly #settings: WriterSettings;
  readonly #context: ManifestWriterContext;
  readonly #local: ManifestWriter;
  readonly #client: PrimaryClient;
  readonly #shipper: ReplicaShipper;

  constructor(settings: WriterSettings, context: ManifestWriterContext, socketPath: string) {
    this.#settings = settings;
    this.#context = context;
    this.#local = new ManifestWriter(settings, context);
    this.#client = PrimaryClient.beside(socketPath);
    this.#shipper = new ReplicaShipper({
      ...{ node: settings.cluster.node, clock: context.clock },
      trouble: new WriterTrouble((event) => {
        if (event.type !== 'count') context.notify(event);
      }),
      // The node answers once the row is in the file.
      positions: () => undefined,
      count: (outcome) => context.notify({ type: 'count', name: 'shipped_total', label: outcome }),
      lost: () => {},
    });
    this.#shipper.use({ client: this.#client, known: peekTerms(settings.path).known });
  }

  /** Answers one request, as soon as the node has written it or it is known not to be written. */
  async handle(request: WriterRequest): Promise<WriterResponse> {
    switch (request.op) {
      case 'open':
        await this.#local.handle(request);
        this.#context.notify({ type: 'cluster', state: this.#state() });
        return null;
      case 'cluster':
        return this.#answer(request.ask);
      case 'purge':
        return await this.#shipper.purge(request);
      case 'put':
        return await this.#shipper.change(request);
      case 'delete':
        // A damaged row is the node's to remove, when it meets it.
        return request.broken === true
          ? { outcome: 'dropped' }
          : await this.#shipper.change(request);
      default:
        return await this.#local.handle(request);
    }
  }

  async close(): Promise<void> {
    await this.#shipper.close();
    await this.#client[Symbol.asyncDispose]();
    await this.#local.close();
  }

  #answer({ kind }: ClusterAsk): NodeState | null {
    if (kind === 'state') return this.#state();
    if (kind === 'followed' || kind === 'hint') return null;
    throw new ProxyError(
      'conflict',
      'guest-writer.ask',
      'this process works beside a node: ask the node',
    );
  }

  /** Nothing is answered to clients from its rows, so that they need not be the newest. */
  #state(): NodeState {
    const { known } = peekTerms(this.#settings.path);
    return { name: this.#settings.cluster.node, role: 'replica', known, trusted: true };
  }
}
