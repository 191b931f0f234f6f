import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import type { ServiceKey } from '../component.ts';
import { ProxyError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import { givenUp } from './http-errors.ts';

/** What a limit is made with. */
export interface FetchLimitOptions {
  /** Fetches at once. */
  readonly concurrent: number;
  /** Fetches that may wait; one more is refused. */
  readonly queue?: number | undefined;
  /** Milliseconds that one may wait. */
  readonly waitMs?: number | undefined;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

const QUEUE_LENGTH = 1_000;
const WAIT_MS = 30_000;
// A slot is free again after a fetch or two; a client that comes back sooner only meets the same queue.
const RETRY_AFTER_SECONDS = 5;

/** The limit that all fetchers of a node share (`fills.concurrent`). */
export const FETCH_LIMIT: ServiceKey<FetchLimit> = { description: 'limit of fetches at once' };

interface Waiter {
  admit(): void;
}

/** A count of running fetches with a bounded first-come queue before it. */
export class FetchLimit {
  readonly #concurrent: number;
  readonly #queue: number;
  readonly #waitMs: number;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #waiters = new Set<Waiter>();
  #running = 0;

  constructor(options: FetchLimitOptions) {
    this.#concurrent = options.concurrent;
    this.#queue = options.queue ?? QUEUE_LENGTH;
    this.#waitMs = options.waitMs ?? WAIT_MS;
    this.#clock = options.clock;
    this.#metrics = options.metrics;
  }

  /** Fetches that hold a slot. */
  get running(): number {
    return this.#running;
  }

  /** Fetches that wait for one. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Takes a slot if one is free; true says that it must be released. */
  tryAcquire(): boolean {
    if (this.#running >= this.#concurrent) return false;
    this.#running += 1;
    return true;
  }

  /** Resolves when a slot is ours. Throws `unavailable` when the queue is full or the wait too long, `aborted` for the signal. */
  async acquire(options: CallOptions = {}): Promise<void> {
    if (options.signal?.aborted === true) throw givenUp(options.signal.reason);
    if (this.tryAcquire()) return;
    if (this.#waiters.size >= this.#queue) throw this.#refuse('too many fetches wait already');
    const tooLong = new AbortController();
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(waiter);
        options.signal?.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        leave();
        tooLong.abort();
        reject(givenUp(options.signal?.reason));
      };
      const waiter: Waiter = {
        admit: () => {
          leave();
          tooLong.abort();
          resolve();
        },
      };
      this.#waiters.add(waiter);
      options.signal?.addEventListener('abort', onAbort, { once: true });
      this.#clock.sleep(this.#waitMs, { signal: tooLong.signal }).then(
        () => {
          // Admitted in the very moment that the time ran out: the slot is ours.
          if (!this.#waiters.has(waiter)) return;
          leave();
          reject(this.#refuse(`no fetch could begin within ${this.#waitMs} ms`));
        },
        () => {},
      );
    });
  }

  /** Gives a slot back: the one who waited longest has it next. */
  release(): void {
    const [first] = this.#waiters;
    if (first === undefined) this.#running -= 1;
    else first.admit();
  }

  #refuse(why: string): ProxyError {
    this.#metrics.count('fetch_queue_refused_total');
    return new ProxyError('unavailable', 'fetch-limit.acquire', why, {
      retryAfter: RETRY_AFTER_SECONDS,
    });
  }
}
