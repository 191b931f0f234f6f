import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { kindOf } from '../errors.ts';
import {
  CommitQueue,
  giveUp,
  type Waiting,
  type WaitingChange,
  type WaitingPurge,
} from './commit-queue.ts';
import { PUT_COLUMNS } from './entry-row.ts';
import type { PrimaryClient } from './primary-client.ts';
import type { Term } from './primary-protocol.ts';
import type {
  ChangeRequest,
  ChangeResponse,
  PurgeRequest,
  PurgeResponse,
} from './writer-protocol.ts';
import type { WriterTrouble } from './writer-trouble.ts';

/** Longest that the oldest change waits for others to share its way (DESIGN: 50 ms off the primary). */
const GROUP_WAIT_MS = 50;
/** Kinds of refusals that are the changes' own fault: sent again they would be refused again. */
export const AT_FAULT: ReadonlySet<string> = new Set(['invalid', 'too-large']);
/** Longest that stopping goes on trying to ship what waits. */
const CLOSE_WAIT_MS = 5000;

/** Where changes are handed to. */
export interface ShipperLink {
  readonly client: Pick<PrimaryClient, 'batch' | 'purge'>;
  readonly known: Term;
}

/** A primary that may be asked. */
export interface PrimaryLink extends ShipperLink {
  readonly client: PrimaryClient;
}

/** What the shipper needs. */
export interface ReplicaShipperOptions {
  readonly node: string;
  readonly clock: Clock;
  readonly trouble: Pick<WriterTrouble, 'pauseMs' | 'failed' | 'solved'>;
  /** Numbers by namespace up to which rows are here: a change is answered once its row is. Absent: they are not waited for. */
  readonly positions: () => ReadonlyMap<string, number> | undefined;
  /** Called with what became of each change. */
  readonly count: (outcome: string) => void;
  /** The primary is not, or not in this term, who it was thought to be. */
  readonly lost: (link: ShipperLink) => void;
}

/** A change that the primary has written and whose row has yet to come in. */
interface Written {
  readonly waiting: Waiting;
  /** Number by namespace up to which the journal must have come in. */
  readonly last: Readonly<Record<string, number>>;
  finish(): void;
}

/**
 * Hands a replica's changes to the primary's writer, in groups and in order. A group whose outcome is unknown is handed in
 * again with the same ids.
 */
export class ReplicaShipper {
  readonly #options: ReplicaShipperOptions;
  readonly #queue = new CommitQueue(GROUP_WAIT_MS);
  #written: Written[] = [];
  #underWay: readonly Waiting[] = [];
  #link: ShipperLink | undefined;
  #wake: () => void = () => {};
  #closeBy: number | undefined;
  readonly #running: Promise<void>;
  readonly #stop = new AbortController();

  constructor(options: ReplicaShipperOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  async change(request: ChangeRequest): Promise<ChangeResponse> {
    return await new Promise<ChangeResponse>((resolve) =>
      this.push({ request, since: this.#now(), resolve }),
    );
  }

  async purge(request: PurgeRequest): Promise<PurgeResponse> {
    return await new Promise<PurgeResponse>((resolve, reject) => {
      if (!request.purge.soft) {
        for (const put of this.#queue.takePurged(request.purge)) put.resolve({ outcome: 'purged' });
      }
      this.push({ request, since: this.#now(), progress: undefined, resolve, reject });
    });
  }

  push(waiting: Waiting): void {
    this.#queue.push(waiting);
    this.#wake();
  }

  /** Where changes go from now on; absent: nowhere for now. What another primary wrote and did not send back is asked of the new one. */
  use(link: ShipperLink | undefined): void {
    const before = this.#link?.known;
    this.#link = link;
    if (link !== undefined && (before?.term !== link.known.term || before.node !== link.known.node))
      this.#queue.putBack(this.#written.splice(0).map(({ waiting }) => waiting));
    this.#wake();
  }

  /** Rows came in: what waited for them is answered. */
  applied(): void {
    const positions = this.#options.positions();
    const left: Written[] = [];
    for (const written of this.#written) {
      const isHere = Object.entries(written.last).every(
        ([namespace, jid]) => positions === undefined || (positions.get(namespace) ?? 0) >= jid,
      );
      if (isHere) written.finish();
      else left.push(written);
    }
    this.#written = left;
  }

  /** Takes away and gives everything, for another to write: also what may have been written already. */
  takeAll(): Waiting[] {
    const written = this.#written.splice(0).map(({ waiting }) => waiting);
    const underWay = this.#underWay;
    this.#underWay = [];
    return [...written, ...underWay, ...this.#queue.takeAll()];
  }

  /** Ships what waits, for five seconds at most; what is left is answered as dropped. */
  async close(): Promise<void> {
    this.#closeBy = this.#now() + CLOSE_WAIT_MS;
    const late = setTimeout(() => this.#stop.abort(), CLOSE_WAIT_MS);
    this.#wake();
    await this.#running;
    clearTimeout(late);
    // Written they are; nobody will read here that they are not back yet.
    for (const written of this.#written.splice(0)) written.finish();
    for (const waiting of this.takeAll()) giveUp(waiting);
  }

  async #run(): Promise<void> {
    for (;;) {
      await this.#untilDue();
      const isOver = this.#closeBy !== undefined && (this.#link === undefined || this.#isPast());
      if (this.#closeBy !== undefined && (this.#queue.size === 0 || isOver)) return;
      if (this.#link !== undefined) await this.#shipNext(this.#link);
      if (this.#options.trouble.pauseMs > 0)
        await delay(this.#options.trouble.pauseMs, undefined, { signal: this.#stop.signal }).catch(
          () => {},
        );
    }
  }

  async #untilDue(): Promise<void> {
    for (;;) {
      const idle = this.#link === undefined || this.#queue.size === 0;
      const wait = idle ? Number.POSITIVE_INFINITY : this.#queue.dueIn(this.#now());
      if (wait <= 0 || this.#closeBy !== undefined) return;
      await new Promise<void>((resolve) => {
        const timer = wait === Number.POSITIVE_INFINITY ? undefined : setTimeout(resolve, wait);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = () => {};
    }
  }

  async #shipNext(link: ShipperLink): Promise<void> {
    const next = this.#queue.nextGroup();
    const group: readonly Waiting[] = 'length' in next ? next : [next];
    this.#underWay = group;
    const single = this.#queue.take(group.length);
    try {
      if ('length' in next) await this.#shipChanges(link, next);
      else await this.#shipPurge(link, next);
      this.#options.trouble.solved();
    } catch (error) {
      // Taken over by a promotion meanwhile: somebody else answers them.
      if (this.#underWay !== group) return;
      this.#queue.putBack(group, single);
      this.#underWay = [];
      this.#failed(link, error);
    } finally {
      if (this.#underWay === group) this.#underWay = [];
    }
  }

  async #shipChanges({ client, known }: ShipperLink, group: readonly WaitingChange[]) {
    const { outcomes } = await client.batch(
      {
        known,
        node: this.#options.node,
        columns: PUT_COLUMNS,
        changes: group.map(({ request }) => request),
      },
      { signal: this.#stop.signal },
    );
    if (this.#underWay !== group) return;
    for (const [index, waiting] of group.entries()) {
      const outcome: ChangeResponse = outcomes[index] ?? { outcome: 'dropped' };
      this.#options.count(outcome.outcome);
      const finish = (): void => waiting.resolve(outcome);
      if (outcome.outcome !== 'committed') finish();
      else {
        this.#written.push({ waiting, last: { [waiting.request.namespace]: outcome.jid }, finish });
      }
    }
    // It may have been written long ago.
    this.applied();
  }

  async #shipPurge({ client, known }: ShipperLink, waiting: WaitingPurge): Promise<void> {
    const group = this.#underWay;
    const { purge, changeId, namespaces } = waiting.request;
    const { known: _, ...response } = await client.purge(
      { known, node: this.#options.node, changeId, purge, namespaces },
      { signal: this.#stop.signal },
    );
    if (this.#underWay !== group) return;
    this.#options.count('purge');
    const finish = (): void => waiting.resolve(response);
    this.#written.push({ waiting, last: response.last, finish });
    this.applied();
  }

  #failed(link: ShipperLink, error: unknown): void {
    const kind = kindOf(error);
    if (kind === 'aborted') return;
    if (AT_FAULT.has(kind)) this.#queue.refuse(error);
    if (kind === 'conflict' || kind === 'misdirected') this.#options.lost(link);
    this.#options.trouble.failed(error);
  }

  #isPast(): boolean {
    return this.#closeBy !== undefined && this.#now() > this.#closeBy;
  }

  #now(): number {
    return this.#options.clock.monotonic();
  }
}
