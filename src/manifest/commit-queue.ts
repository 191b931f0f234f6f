import { ProxyError } from '../errors.ts';
import { PUT_COLUMNS } from './entry-row.ts';
import { tagsOfRow } from './entry-tags.ts';
import type { Purge } from './manifest.ts';
import type { PurgeProgress } from './purge-progress.ts';
import { takes } from './purge-takes.ts';
import type {
  ChangeRequest,
  ChangeResponse,
  PurgeRequest,
  PurgeResponse,
  PutRequest,
} from './writer-protocol.ts';

/** A change that waits to be written. */
export interface WaitingChange {
  readonly request: ChangeRequest;
  /** Monotonic milliseconds when it came in. */
  readonly since: number;
  resolve(response: ChangeResponse): void;
}

/** A purge that waits to be written, or whose first part is. */
export interface WaitingPurge {
  readonly request: PurgeRequest;
  readonly since: number;
  progress: PurgeProgress | undefined;
  resolve(response: PurgeResponse): void;
  reject(error: Error): void;
}

export type Waiting = WaitingChange | WaitingPurge;

/** Rows and bytes of one transaction, at most (DESIGN: 500 rows, 256 KiB). */
const GROUP_ROWS = 500;
const GROUP_BYTES = 256 * 1024;
/** Longest that the oldest change waits for others to share its transaction. */
const GROUP_WAIT_MS = 5;

/** What the writer has still to do, in the order it came in. */
export class CommitQueue {
  readonly #waitMs: number;
  #waiting: Waiting[] = [];
  #bytes = 0;
  #purges = 0;
  /** Changes still to be written one by one, after a group held one that cannot be written at all. */
  #single = 0;

  /** `waitMs`: longest that the oldest change waits for others. Absent: 5. */
  constructor(waitMs: number = GROUP_WAIT_MS) {
    this.#waitMs = waitMs;
  }

  get size(): number {
    return this.#waiting.length;
  }

  push(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#weigh(waiting, 1);
  }

  /** Takes away the first `count`, perhaps to be put back; gives what `putBack` has to know. */
  take(count: number): number {
    const single = this.#single;
    this.remove(count);
    return single;
  }

  /** Puts back what was taken away, before everything else. `single`: what `take` gave. */
  putBack(waiting: readonly Waiting[], single: number = this.#single): void {
    this.#single = single;
    this.#waiting.unshift(...waiting);
    for (const one of waiting) this.#weigh(one, 1);
  }

  /** Milliseconds until the next group is due; 0: now. */
  dueIn(now: number): number {
    const [oldest] = this.#waiting;
    if (oldest === undefined) return Number.POSITIVE_INFINITY;
    const isFull = this.#waiting.length >= GROUP_ROWS || this.#bytes >= GROUP_BYTES;
    return isFull || this.#purges > 0 ? 0 : Math.max(0, oldest.since + this.#waitMs - now);
  }

  /** The changes of the next transaction, or one purge; they stay in the queue until `remove`. */
  nextGroup(): readonly WaitingChange[] | WaitingPurge {
    const limit = this.#single > 0 ? 1 : GROUP_ROWS;
    const group: WaitingChange[] = [];
    let bytes = 0;
    for (const waiting of this.#waiting) {
      if (!isChange(waiting)) {
        if (group.length === 0) return waiting;
        break;
      }
      if (group.length > 0 && (group.length >= limit || bytes >= GROUP_BYTES)) break;
      group.push(waiting);
      bytes += waiting.request.bytes;
    }
    return group;
  }

  /** Takes away the first `count`. */
  remove(count: number): void {
    this.#single = Math.max(0, this.#single - count);
    for (const waiting of this.#waiting.splice(0, count)) this.#weigh(waiting, -1);
  }

  /** The next group holds what no database would take: alone it goes, among others they are written one by one. */
  refuse(error: unknown): void {
    const group = this.nextGroup();
    if (!('length' in group)) {
      this.remove(1);
      group.reject(error as Error);
      return;
    }
    if (group.length > 1) {
      this.#single = group.length;
      return;
    }
    this.remove(group.length);
    for (const change of group) change.resolve({ outcome: 'dropped' });
  }

  /** Takes away and gives the puts that a purge would delete at once. */
  takePurged(purge: Purge): WaitingChange[] {
    const taken: WaitingChange[] = [];
    this.#waiting = this.#waiting.filter((waiting) => {
      if (!isChange(waiting) || waiting.request.op !== 'put' || !takesPut(purge, waiting.request))
        return true;
      taken.push(waiting);
      this.#weigh(waiting, -1);
      return false;
    });
    return taken;
  }

  /** Takes away and gives everything. */
  takeAll(): Waiting[] {
    this.#bytes = 0;
    this.#purges = 0;
    return this.#waiting.splice(0);
  }

  #weigh(waiting: Waiting, sign: 1 | -1): void {
    if (isChange(waiting)) this.#bytes += sign * waiting.request.bytes;
    else this.#purges += sign;
  }
}

/** Answers it with what became of it at another writer. */
export function handOn(waiting: Waiting, written: Promise<unknown>): void {
  if (isChange(waiting)) {
    written.then(
      (response) => waiting.resolve(response as ChangeResponse),
      () => waiting.resolve({ outcome: 'dropped' }),
    );
  } else {
    written.then(
      (response) => waiting.resolve(response as PurgeResponse),
      (error: unknown) => waiting.reject(error as Error),
    );
  }
}

/** Answers that it was not written, since the node stops. */
export function giveUp(waiting: Waiting): void {
  if (isChange(waiting)) waiting.resolve({ outcome: 'dropped' });
  else {
    const message = 'the node stopped before the purge was written';
    waiting.reject(new ProxyError('unavailable', 'commit-queue.close', message));
  }
}

/** Whether it is a put or delete. */
export function isChange(waiting: Waiting): waiting is WaitingChange {
  return waiting.request.op !== 'purge';
}

function takesPut(purge: Purge, { namespace, values }: PutRequest): boolean {
  const text = (column: (typeof PUT_COLUMNS)[number]): string =>
    values[PUT_COLUMNS.indexOf(column)] as string;
  const tags = purge.kind === 'tag' ? tagsOfRow(text('response_headers')) : undefined;
  return takes(purge, { namespace, key: text('key'), rule: text('rule'), tags });
}
