import { SystemClock } from '../../src/clock.ts';
import { kindOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import type { Stat } from '../../src/storage/backend.ts';
import { type Digest, parseDigest } from '../../src/storage/digest.ts';
import { Quota } from '../../src/storage/quota.ts';
import { Sieve } from '../../src/storage/sieve.ts';

/** A store that keeps sizes alone. */
export interface SimulatedStore {
  /** True: it had the object. False: it may have it from now on. */
  ask(object: number, size: number): Promise<boolean>;
}

/** The quota of the backends with its default waters, over the records of the memory backend, without bodies. */
export class SieveStore implements SimulatedStore, AsyncDisposable {
  readonly #kept = new Sieve<Stat>();
  readonly #quota: Quota;
  readonly #highWater: number;
  readonly #digests: Digest[] = [];
  #time = 0;

  /** `maxBytes`: as in the configuration. */
  constructor(maxBytes: number) {
    const kept = this.#kept;
    const limits = { maxBytes, highWater: 0.95, lowWater: 0.9 };
    this.#highWater = limits.highWater * maxBytes;
    this.#quota = new Quota({
      name: 'simulated',
      limits,
      clock: new SystemClock(),
      log: silentLogger,
      metrics: new Metrics(),
      records: {
        totals: () => kept.totals,
        next: (limit) => kept.next(limit),
        isVisited: ({ digest }) => kept.isVisited(digest),
        isRead: () => false,
        passed: async (visited) => {
          for (const { digest } of visited) kept.unmark(digest);
        },
        remove: async ({ digest }) => !kept.isVisited(digest) && kept.delete(digest),
      },
    });
  }

  async ask(object: number, size: number): Promise<boolean> {
    this.#digests[object] ??= parseDigest(object.toString(16).padStart(64, '0'));
    const digest = this.#digests[object];
    if (this.#kept.get(digest) !== undefined) return true;
    try {
      const room = await this.#quota.reserve(size);
      this.#kept.set({ digest, size, modifiedAt: this.#time++ });
      room.release();
    } catch (error) {
      if (kindOf(error) !== 'too-large') throw error;
    }
    // As where there is some time until the next body comes, so that the outcome does not hang on it.
    if (this.#quota.used.charge > this.#highWater) await this.#quota.free(0);
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#quota[Symbol.asyncDispose]();
  }
}
