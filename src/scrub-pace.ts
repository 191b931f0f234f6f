import type { Clock } from './clock.ts';

/** Below this nothing is gained by being slower. Bytes a second. */
const SLOWEST = 64 * 1024;
/** What looking at a body costs beside its bytes, in bytes. */
const BODY_COST = 4096;
/** Part of the time left that reading may take, so that the end comes in time. */
const SHARE = 0.8;
/** Shorter waits are added up, since a timer is no more exact. Milliseconds. */
const MIN_WAIT_MS = 10;
/** How long a busy process is left alone, and how often in a row: a period has to end under load, too. */
const YIELD_MS = 250;
const MAX_YIELDS = 20;

/** How a pace is set. */
export interface ScrubPaceOptions {
  readonly clock: Clock;
  /** Bytes a second at most. */
  readonly maxRate: number;
  /** Whether there is more important work now. */
  readonly isBusy: () => boolean;
  readonly signal: AbortSignal;
}

/** Spreads reading over the time that there is, within a rate, and stands back while others need the process. */
export class ScrubPace {
  readonly #options: ScrubPaceOptions;
  #rate: number;
  #next: number;

  constructor(options: ScrubPaceOptions) {
    this.#options = options;
    this.#rate = options.maxRate;
    this.#next = options.clock.monotonic();
  }

  /** Bytes a second that it reads now. */
  get rate(): number {
    return this.#rate;
  }

  /** Sets the rate by what is left to read (bytes of so many bodies) in how much time (milliseconds). */
  spread(bytes: number, bodies: number, leftMs: number): void {
    const wanted = ((bytes + bodies * BODY_COST) * 1000) / Math.max(1, leftMs * SHARE);
    this.#rate = Math.min(this.#options.maxRate, Math.max(SLOWEST, wanted));
  }

  /** Resolves when so many bytes may be read. Throws the signal's reason. */
  async take(bytes: number): Promise<void> {
    const { clock, isBusy, signal } = this.#options;
    signal.throwIfAborted();
    for (let yields = 0; yields < MAX_YIELDS && isBusy(); yields++)
      await clock.sleep(YIELD_MS, { signal });
    const now = clock.monotonic();
    // What was not used while it waited is not made good by a burst.
    const from = Math.max(this.#next, now);
    this.#next = from + (bytes * 1000) / this.#rate;
    if (from - now >= MIN_WAIT_MS) await clock.sleep(from - now, { signal });
  }

  /** The same for a body as such, before its bytes. */
  async takeBody(): Promise<void> {
    await this.take(BODY_COST);
  }
}

/** Says whether this process was busy since it was last asked: more than half of that time its event loop had work to do. */
export function busyWatch(): () => boolean {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization, active, idle } = performance.eventLoopUtilization(now, last);
    // Too short a time says nothing.
    if (active + idle < MIN_WATCH_MS) return false;
    last = now;
    return utilization > BUSY;
  };
}

const MIN_WATCH_MS = 100;
const BUSY = 0.5;
