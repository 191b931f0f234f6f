import type { CallOptions } from '../../src/body.ts';
import type { Clock } from '../../src/clock.ts';

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** Time that stands still until the test moves it; begins at the machine's, so that dates of real parts agree. */
export class FakeClock implements Clock {
  #now = Date.now();
  #monotonic = 0;
  readonly #sleepers = new Set<Sleeper>();

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** Sleeps that have not ended. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  async sleep(ms: number, { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const sleeper = { until: this.#monotonic + ms, wake: resolve };
    const leave = (): void => reject(signal?.reason as Error);
    this.#sleepers.add(sleeper);
    signal?.addEventListener('abort', leave, { once: true });
    try {
      await promise;
    } finally {
      this.#sleepers.delete(sleeper);
      signal?.removeEventListener('abort', leave);
    }
  }

  /** Lets so many milliseconds pass and wakes whose sleep is over. */
  advance(ms: number): void {
    this.#now += ms;
    this.#monotonic += ms;
    for (const { until, wake } of [...this.#sleepers]) if (until <= this.#monotonic) wake();
  }

  /** The date as an HTTP field says it. */
  date(): string {
    return new Date(this.#now).toUTCString();
  }
}
