import type { Waiting } from './commit-queue.ts';
import type { ManifestWriterContext } from './manifest-writer.ts';
import type { Term } from './primary-protocol.ts';
import { ReplicaFollower } from './replica-follower.ts';
import type { ReplicaRows } from './replica-rows.ts';
import { ReplicaShipper } from './replica-shipper.ts';
import type {
  AppliedPurge,
  ClusterSettings,
  WriterEvent,
  WriterRequest,
  WriterResponse,
} from './writer-protocol.ts';
import { WriterTrouble } from './writer-trouble.ts';

/** A change as the writer is asked for it. */
export type WriteRequest = Extract<WriterRequest, { op: 'put' | 'delete' | 'purge' }>;

/** What a replica needs of the writer that it is part of. */
export interface ReplicaSideOptions {
  readonly cluster: ClusterSettings;
  readonly context: ManifestWriterContext;
  readonly rows: ReplicaRows;
  /** Numbers by namespace up to which rows came in by other means. Absent: that is not known. */
  readonly copied: () => ReadonlyMap<string, number> | undefined;
  readonly known: () => Term;
  readonly listens: () => string | undefined;
  readonly ownUrl: () => string;
  /** This node was found at the primary's address. */
  readonly isPrimary: () => void;
  /** The primary was found. */
  readonly found: (known: Term) => Promise<void>;
  /** Whether rows may be used. */
  readonly trust: (trusted: boolean) => void;
}

/** A node that is not the primary: its changes go there, and the primary's rows come in. */
export class ReplicaSide {
  readonly #options: ReplicaSideOptions;
  readonly #shipper: ReplicaShipper;
  readonly #follower: ReplicaFollower | undefined;
  readonly #followed = new Map<number, () => void>();
  #seq = 0;
  #closing = false;

  constructor(options: ReplicaSideOptions) {
    this.#options = options;
    const { cluster, context, rows, known, listens, ownUrl, isPrimary, found, trust } = options;
    // The follower tells of a primary that is not to be had; of the shipper only refusals are news.
    const refusals = new WriterTrouble((event) => {
      const isNews =
        event.type !== 'problem' || event.code === 'invalid' || event.code === 'upstream';
      if (isNews) context.notify(toLink(event));
    });
    this.#shipper = new ReplicaShipper({
      ...{ node: cluster.node, clock: context.clock, trouble: refusals },
      positions: () => (cluster.follows ? rows.positions() : options.copied()),
      count: (outcome) => context.notify({ type: 'count', name: 'shipped_total', label: outcome }),
      lost: () => this.retarget(),
    });
    // Without a token nobody would answer.
    if (cluster.token === '') return;
    this.#follower = new ReplicaFollower({
      ...{ settings: cluster, rows, known, listens, ownUrl, isPrimary, found, trust },
      trouble: new WriterTrouble((event) => context.notify(toLink(event))),
      linked: (link) => this.#shipper.use(link),
      applied: async (reset, purges) => {
        await this.tellApplied(reset, purges);
        this.#shipper.applied();
      },
      count: (name, by) => context.notify({ type: 'count', name, label: '', by }),
    });
  }

  async write(request: WriteRequest): Promise<WriterResponse> {
    if (request.op === 'purge') return await this.#shipper.purge(request);
    if (request.op === 'put' || request.broken !== true) return await this.#shipper.change(request);
    // What is damaged here alone is whole at the primary.
    await this.#options.rows.removeBroken(request.namespace, request.key, request.variant ?? '');
    return { outcome: 'purged' };
  }

  /** Takes over what another waits for. */
  push(waiting: Waiting): void {
    this.#shipper.push(waiting);
  }

  /** The primary may be another. */
  retarget(): void {
    this.#follower?.retarget();
  }

  /** Rows came in by other means. */
  applied(): void {
    this.#shipper.applied();
  }

  /** There may be something new. */
  hint(): void {
    this.#follower?.hint();
  }

  /** The request side knows what the event of this number told of. */
  followed(seq: number): void {
    this.#followed.get(seq)?.();
  }

  /** Tells the request side of rows that came in, and resolves when it knows. */
  async tellApplied(reset: boolean, purges: readonly AppliedPurge[]): Promise<void> {
    const seq = ++this.#seq;
    if (this.#closing) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#followed.set(seq, resolve);
    this.#options.context.notify({ type: 'applied', seq, reset, purges });
    await promise;
    this.#followed.delete(seq);
  }

  /** Ends following and gives what waits to be written by another; some of it may have been written. */
  async handOver(): Promise<readonly Waiting[]> {
    await this.#follower?.close();
    const waiting = this.#shipper.takeAll();
    await this.#shipper.close();
    return waiting;
  }

  /** Ships what waits, for a bounded time, and ends. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#shipper.close();
    for (const done of this.#followed.values()) done();
    await this.#follower?.close();
  }
}

/** What troubles the way to the primary says nothing about this node's own database. */
function toLink(event: WriterEvent): WriterEvent {
  if (event.type === 'problem') return { ...event, type: 'link' };
  if (event.type !== 'count') return event;
  return { type: 'count', name: 'primary_failures_total', label: event.label || 'timeout' };
}
