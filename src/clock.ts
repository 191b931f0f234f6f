import { setTimeout as delay } from 'node:timers/promises';
import type { CallOptions } from './body.ts';

/** Time as the rest of caje sees it, so that tests can move it. */
export interface Clock {
  /** Milliseconds since the epoch; may jump when the machine's clock is set. */
  now(): number;
  /** Milliseconds from an arbitrary start; never jumps. For spans, deadlines and ages. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when aborted. Does not keep the process alive. */
  sleep(ms: number, options?: CallOptions): Promise<void>;
}

/** The machine's own clock. */
export class SystemClock implements Clock {
  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  async sleep(ms: number, options: CallOptions = {}): Promise<void> {
    await delay(ms, undefined, { ref: false, ...(options.signal && { signal: options.signal }) });
  }
}
