import { expect } from 'chai';
import fc from 'fast-check';
import { LRUCache } from 'lru-cache';
import { type Digest, digestOf } from '../../src/storage/digest.ts';
import { Evictor } from '../../src/storage/eviction.ts';
import { type Candidate, Sieve, type SieveRecords } from '../../src/storage/sieve.ts';
import { Random } from '../support/random.ts';

const digests = new Map<number, Digest>();

function digestFor(key: number): Digest {
  const known = digests.get(key) ?? digestOf(Buffer.from(String(key)));
  digests.set(key, known);
  return known;
}

/** A store of so many bodies of one byte, with the evictor that every backend has. */
class Store {
  readonly sieve = new Sieve<Candidate>();
  readonly #evictor: Evictor;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
    const { sieve } = this;
    const records: SieveRecords = {
      totals: () => sieve.totals,
      next: (limit) => sieve.next(limit),
      isVisited: ({ digest }) => sieve.isVisited(digest),
      isRead: () => false,
      passed: async (visited) => {
        for (const { digest } of visited) sieve.unmark(digest);
      },
      remove: async ({ digest }) => sieve.delete(digest),
    };
    this.#evictor = new Evictor({ records, leaving: () => () => {} });
  }

  /** True: it was there. */
  async ask(key: number): Promise<boolean> {
    const digest = digestFor(key);
    if (this.sieve.get(digest)) return true;
    while (this.sieve.totals.entries >= this.#max)
      await this.#evictor.step({ charge: 0, entries: 1 });
    this.sieve.set({ digest, size: 1, modifiedAt: key, visited: false });
    return false;
  }
}

/** SIEVE as its authors write it down, with a list: new at the head, the hand from the tail to the head. */
class Reference {
  /** The tail first. */
  readonly #list: { readonly key: number; visited: boolean }[] = [];
  readonly #max: number;
  #hand = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get keys(): number[] {
    return this.#list.map(({ key }) => key);
  }

  ask(key: number): boolean {
    const found = this.#list.find((entry) => entry.key === key);
    if (found) {
      found.visited = true;
      return true;
    }
    while (this.#list.length >= this.#max) this.#move();
    this.#list.push({ key, visited: false });
    return false;
  }

  #move(): void {
    const entry = this.#list[this.#hand];
    if (entry?.visited === true) {
      entry.visited = false;
      this.#hand++;
    } else this.#list.splice(this.#hand, 1);
    // From the head back to the tail, before anything new comes.
    if (this.#hand >= this.#list.length) this.#hand = 0;
  }
}

/** Share of hits. `ask` says whether a key was there. */
async function hitRatio(trace: readonly number[], ask: (key: number) => unknown): Promise<number> {
  let hits = 0;
  for (const key of trace) if ((await ask(key)) === true) hits++;
  return hits / trace.length;
}

function lruOf(max: number): (key: number) => boolean {
  const cache = new LRUCache<number, true>({ max });
  return (key) => {
    if (cache.get(key)) return true;
    cache.set(key, true);
    return false;
  };
}

/** Keys by a power law, as web and module requests are: few often, most seldom. */
function zipf(random: Random, keys: number, length: number): number[] {
  const sums: number[] = [];
  let sum = 0;
  for (let key = 1; key <= keys; key++) {
    sum += 1 / key ** 0.9;
    sums.push(sum);
  }
  return Array.from({ length }, () => {
    const at = (random.integer(0, 1_000_000) / 1_000_000) * sum;
    let low = 0;
    let high = keys - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? 0) < at) low = middle + 1;
      else high = middle;
    }
    return low;
  });
}

describe('eviction', () => {
  it('keeps what SIEVE keeps, whatever is asked for', async () => {
    const asked = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 12 }), asked, async (max, keys) => {
        const store = new Store(max);
        const reference = new Reference(max);
        for (const key of keys) {
          expect(await store.ask(key)).to.equal(reference.ask(key));
          const expected = reference.keys.map(digestFor);
          expect(store.sieve.digests()).to.deep.equal(expected);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('hits more often than LRU where few are asked for often', async () => {
    const random = new Random(7);
    const trace = zipf(random, 5000, 40_000);
    for (const max of [100, 500]) {
      const store = new Store(max);
      const sieve = await hitRatio(trace, async (key) => await store.ask(key));
      expect(sieve).to.be.greaterThan(await hitRatio(trace, lruOf(max)));
    }
  });

  it('keeps what is asked for again while a scan goes by', async () => {
    const random = new Random(7);
    let next = 100_000;
    // Every second one is never asked for again.
    const trace = zipf(random, 2000, 20_000).flatMap((key) => [key, next++]);
    const store = new Store(400);
    const sieve = await hitRatio(trace, async (key) => await store.ask(key));
    expect(sieve).to.be.greaterThan(1.1 * (await hitRatio(trace, lruOf(400))));
  });
});
