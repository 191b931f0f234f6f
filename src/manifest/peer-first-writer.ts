import { type PrimaryState, primaryChanges } from '@caje/litefs';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import { handOn } from './commit-queue.ts';
import { LiteFsPrimary, type PrimaryStates } from './litefs-primary.ts';
import { ManifestWriter, type ManifestWriterContext } from './manifest-writer.ts';
import { PrimaryLeases } from './primary-leases.ts';
import type { LeaseAnswer, NodeState, Term } from './primary-protocol.ts';
import { NO_TERM } from './primary-terms.ts';
import { AT_FAULT, type PrimaryLink, ReplicaShipper, type ShipperLink } from './replica-shipper.ts';
import type {
  ChangeRequest,
  ChangeResponse,
  ClusterAsk,
  PurgeRequest,
  PurgeResponse,
  WriterRequest,
  WriterResponse,
  WriterSettings,
} from './writer-protocol.ts';

/** Longest that the primary's node is waited for before HALT is taken instead; it needs a commit, and a round trip. */
const SHIP_MS = 2000;

type WriteRequest = ChangeRequest | PurgeRequest;

/** What tests do otherwise. */
export interface PeerFirstOptions {
  /** Absent: as the LiteFS beside this node says. */
  readonly states?: PrimaryStates | undefined;
  /** Longest wait for the primary's node. Absent: 2,000 ms. */
  readonly shipMs?: number | undefined;
}

/**
 * The writer of a node of a LiteFS cluster whose nodes know each other: changes are handed to the node beside LiteFS' primary,
 * and written here under HALT while that one cannot be reached or does not answer in time. Either way may have written
 * a change whose answer was lost: its `changeId` is looked up before it is written. On the primary itself they are written here.
 */
export class PeerFirstWriter {
  readonly #settings: WriterSettings;
  readonly #context: ManifestWriterContext;
  readonly #local: ManifestWriter;
  readonly #shipper: ReplicaShipper;
  readonly #primary: LiteFsPrimary;
  readonly #leases: PrimaryLeases;
  readonly #shipMs: number;
  #isPrimary = false;
  #link: PrimaryLink | undefined;
  #url = '';
  #isClosing = false;

  constructor(
    settings: WriterSettings,
    context: ManifestWriterContext,
    { states, shipMs = SHIP_MS }: PeerFirstOptions = {},
  ) {
    this.#settings = settings;
    this.#shipMs = shipMs;
    this.#context = context;
    const { cluster } = settings;
    this.#local = new ManifestWriter(settings, context);
    this.#shipper = new ReplicaShipper({
      ...{ node: cluster.node, clock: context.clock },
      trouble: {
        pauseMs: 0,
        failed: (error) => this.#failed(error),
        solved: () => this.#primary.works(),
      },
      positions: () => this.#local.place.copied(),
      count: (outcome) => this.#count(outcome),
      // A refusal is a failure too.
      lost: () => {},
    });
    this.#local.place.onCopied = () => this.#shipper.applied();
    this.#leases = new PrimaryLeases({
      acquire: async (options) => await this.#local.acquire(options),
      ttlMs: cluster.leaseMs,
      count: (outcome) => context.notify({ type: 'count', name: 'leases_total', label: outcome }),
    });
    this.#primary = new LiteFsPrimary({
      ...{ settings: cluster, listens: () => this.#listens() },
      states: states ?? ((signal) => liteFsStates(settings, signal)),
      moved: (state) => this.#moved(state),
      found: (link) => this.#found(link),
    });
  }

  /** Answers one request, as soon as it is durable or known not to be written. */
  async handle(request: WriterRequest): Promise<WriterResponse> {
    switch (request.op) {
      case 'open':
        await this.#local.handle(request);
        this.#tell();
        return null;
      case 'cluster':
        return await this.#answer(request.ask);
      case 'put':
      case 'purge':
        return await this.#write(request);
      case 'delete':
        // A damaged row is of this node's own copy or of all: who holds HALT can say.
        return await (request.broken === true ? this.#local.handle(request) : this.#write(request));
      default:
        return await this.#local.handle(request);
    }
  }

  /** Hands over and writes what waits, for a bounded time, and ends. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#shipper.close();
    await this.#primary[Symbol.asyncDispose]();
    await this.#leases.close();
    await this.#local.close();
  }

  async #write(request: WriteRequest): Promise<WriterResponse> {
    return await (this.#link === undefined ? this.#local.handle(request) : this.#ship(request));
  }

  async #ship(request: WriteRequest): Promise<WriterResponse> {
    const response = await (request.op === 'purge'
      ? this.#shipper.purge(request)
      : this.#shipper.change(request));
    if (this.#isClosing || this.#isHere(request, response)) return response;
    // Its numbers were given to another change: what that primary wrote was lost with it.
    return await this.#local.handle(request);
  }

  /** Whether what was answered is what the rows here say. */
  #isHere(request: WriteRequest, response: ChangeResponse | PurgeResponse): boolean {
    if ('jids' in response)
      return Object.entries(response.jids).every(([namespace, jid]) =>
        this.#local.place.hasCopied(namespace, jid, request.changeId),
      );
    if (response.outcome !== 'committed' || request.op === 'purge') return true;
    return this.#local.place.hasCopied(request.namespace, response.jid, request.changeId);
  }

  #moved({ isPrimary }: PrimaryState): void {
    this.#isPrimary = isPrimary;
    this.#unlink();
    this.#context.notify({ type: 'link' });
    this.#tell();
  }

  #found(link: PrimaryLink): void {
    this.#link = link;
    this.#shipper.use(limited(link, this.#shipMs));
    // What waits for HALT goes first, as it came first.
    for (const waiting of this.#local.takeAll()) handOn(waiting, this.#ship(waiting.request));
    this.#context.notify({ type: 'link' });
    this.#tell();
  }

  #failed(error: unknown): void {
    const kind = kindOf(error);
    this.#context.notify({ type: 'count', name: 'primary_failures_total', label: kind });
    // The shipper has told who asked for it.
    if (AT_FAULT.has(kind)) return;
    this.#unlink();
    this.#primary.lost();
    const text = `${messageOf(error)}; the HALT lock is taken meanwhile`;
    this.#context.notify({ type: 'link', text, code: kind });
  }

  /** From now on changes are written here, those first that were handed over and not answered. */
  #unlink(): void {
    this.#link = undefined;
    this.#shipper.use(undefined);
    for (const waiting of this.#shipper.takeAll()) {
      this.#count('halt');
      handOn(waiting, this.#local.handle(waiting.request));
    }
  }

  async #answer(ask: ClusterAsk): Promise<NodeState | LeaseAnswer | null> {
    switch (ask.kind) {
      case 'state':
        return this.#state();
      case 'promote':
        throw new ProxyError(
          'conflict',
          'peer-first-writer.promote',
          'LiteFS says which node is the primary of its manifest',
        );
      case 'listening':
        this.#url = ask.url;
        this.#tell();
        return null;
      case 'lease':
        return await this.#leases.give(ask.waitMs);
      case 'renew':
        return this.#leases.renew(ask.id);
      case 'release':
        await this.#leases.release(ask.id);
        return null;
      default:
        return null;
    }
  }

  #state(): NodeState {
    const { node: name } = this.#settings.cluster;
    const own: Term = { ...NO_TERM, node: name, url: this.#url };
    const known = this.#isPrimary ? own : (this.#link?.known ?? NO_TERM);
    return { name, role: this.#isPrimary ? 'primary' : 'replica', known, trusted: true };
  }

  #listens(): string | undefined {
    const [, scheme, port] = /^(https?):\/\/.*:(\d+)$/.exec(this.#url) ?? [];
    return scheme === undefined ? undefined : `${scheme}:${port}`;
  }

  #count(outcome: string): void {
    this.#context.notify({ type: 'count', name: 'shipped_total', label: outcome });
  }

  #tell(): void {
    this.#context.notify({ type: 'cluster', state: this.#state() });
  }
}

function limited({ client, known }: PrimaryLink, limitMs: number): ShipperLink {
  return {
    known,
    client: {
      batch: async (request, options) => await client.batch(request, { ...options, limitMs }),
      purge: async (request, options) => await client.purge(request, { ...options, limitMs }),
    },
  };
}

function liteFsStates(
  { path, liteFs }: WriterSettings,
  signal: AbortSignal,
): AsyncIterable<PrimaryState> {
  return primaryChanges(path, { url: liteFs?.addresses.api, signal });
}
