import { setTimeout as delay } from 'node:timers/promises';
import type { CallOptions } from './body.ts';

/** Time as the rest of caje sees it, so that tests can move it. */
export interface Clock {
  /** Milliseconds since the epoch; jumps ahead when the machine's clock is set forward, and never goes back. */
  now(): number;
  /** Milliseconds that `now` runs before the machine's clock, because that was set back since. Absent: none. */
  ahead?(): number;
  /** Milliseconds from an arbitrary start; never jumps. For spans, deadlines and ages. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when aborted. Does not keep the process alive. */
  sleep(ms: number, options?: CallOptions): Promise<void>;
}

/** Milliseconds by which a clock goes back when it is corrected a little, which nobody has to know of. */
const CORRECTION_MS = 1000;

/**
 * The machine's own clock. Where that is set back, time here goes on as if it had not been: what was fresh for an hour is so
 * for an hour of real time, whatever the clock says (RFC 9111 §4.2.3 counts ages by spans).
 */
export class SystemClock implements Clock {
  readonly #wall: () => number;
  readonly #steady: () => number;
  /** How far the time told lies before the steady one. */
  #offset: number;

  constructor(wall: () => number = Date.now, steady: () => number = () => performance.now()) {
    this.#wall = wall;
    this.#steady = steady;
    this.#offset = wall() - steady();
  }

  now(): number {
    const steady = this.#steady();
    const offset = this.#wall() - steady;
    if (offset > this.#offset - CORRECTION_MS) this.#offset = offset;
    return Math.round(steady + this.#offset);
  }

  ahead(): number {
    return Math.max(0, this.now() - this.#wall());
  }

  monotonic(): number {
    return this.#steady();
  }

  async sleep(ms: number, options: CallOptions = {}): Promise<void> {
    await delay(ms, undefined, { ref: false, ...(options.signal && { signal: options.signal }) });
  }
}
