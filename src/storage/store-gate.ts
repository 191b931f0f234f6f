import type { Clock } from '../clock.ts';
import { messageOf, ProxyError } from '../errors.ts';

/** A store that failed is asked again this often, whatever the number of requests. */
const PROBE_INTERVAL_MS = 1000;

/**
 * Remembers that a store fails, so that not every request waits for it: while it does, one call a second goes
 * through as a probe, and only one at a time; the others are refused at once.
 */
export class StoreGate {
  readonly #clock: Clock;
  #problem: string | undefined;
  #probedAt = Number.NEGATIVE_INFINITY;
  #isProbing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What the store failed with last. Absent: it works, as far as known. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Whether a probe may go to the store now. */
  get mayProbe(): boolean {
    return !this.#isProbing && this.#clock.monotonic() - this.#probedAt >= PROBE_INTERVAL_MS;
  }

  /**
   * Runs a call unless the store is known to fail; then throws `unavailable` at once. A call that fails with
   * `unavailable` or `timeout` closes the gate (`closes` may leave some of these out), one that succeeds, or is
   * answered with `not-found` or `conflict`, opens it.
   */
  async run<T>(
    op: string,
    call: () => Promise<T>,
    closes: (error: ProxyError) => boolean = () => true,
  ): Promise<T> {
    const isProbe = this.#problem !== undefined;
    if (isProbe) {
      if (!this.mayProbe)
        throw new ProxyError('unavailable', op, this.#problem ?? '', { retryAfter: 1 });
      this.#isProbing = true;
      this.#probedAt = this.#clock.monotonic();
    }
    try {
      const result = await call();
      this.#problem = undefined;
      return result;
    } catch (error) {
      if (isOutage(error) && closes(error)) this.fail(error);
      else if (isAnswer(error)) this.#problem = undefined;
      throw error;
    } finally {
      if (isProbe) this.#isProbing = false;
    }
  }

  /** Notes a failure that was seen elsewhere. */
  fail(error: unknown): void {
    if (this.#problem === undefined) this.#probedAt = this.#clock.monotonic();
    this.#problem = messageOf(error);
  }
}

function isOutage(error: unknown): error is ProxyError {
  return error instanceof ProxyError && (error.kind === 'unavailable' || error.kind === 'timeout');
}

// Whoever knows that something is not there, or is there already, works.
function isAnswer(error: unknown): boolean {
  return error instanceof ProxyError && (error.kind === 'not-found' || error.kind === 'conflict');
}
