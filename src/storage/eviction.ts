import type { ServiceKey } from '../component.ts';
import type { Digest } from './digest.ts';
import type { Candidate, SieveRecords, Totals } from './sieve.ts';

/** What a body costs beside its bytes: its row, its name, the end of its last disk block. Bytes. */
export const ENTRY_BYTES: number = 512;
/** Bodies looked at before others get their turn on the event loop. */
const PAGE = 256;
/** Bodies removed at the same time; their rows go in one transaction. */
const BATCH = 64;

/** Bodies that must stay, whatever is asked for. */
export interface Pins {
  /** Those of `digests` that must stay. Never rejects: what cannot be found out stays. */
  pinnedAmong(digests: readonly Digest[]): Promise<ReadonlySet<Digest>>;
}

/** What keeps bodies in their backends, for components. */
export const PINS: ServiceKey<Pins> = { description: 'pinned bodies' };

/** Bytes that so much counts as in a quota. */
export function chargeOf({ bytes, entries }: Totals): number {
  return bytes + entries * ENTRY_BYTES;
}

/** What one step of eviction did. */
export interface EvictionStep {
  /** Bodies removed. */
  readonly removed: number;
  /** Charge of those that were passed over because they had been asked for. Bytes. */
  readonly passed: number;
  /** True: twice round without removing anything, so nothing can go now. */
  readonly isStuck: boolean;
}

/** How much is to go: a charge in bytes and a number of bodies. */
export interface EvictionNeed {
  readonly charge: number;
  readonly entries: number;
}

/** How an evictor is made. */
export interface EvictorOptions {
  readonly records: SieveRecords;
  /** Absent: nothing is pinned. */
  readonly pins?: Pins | undefined;
  /** Called before a body is removed; gives what is called once it is gone, or stays. */
  leaving(candidate: Candidate): () => void;
}

/** Moves the hand of one backend's SIEVE, some bodies at a time. One step at a time. */
export class Evictor {
  readonly #options: EvictorOptions;
  #window: readonly Candidate[] = [];
  #next = 0;
  #fruitless = 0;

  constructor(options: EvictorOptions) {
    this.#options = options;
  }

  /** Removes what must go next, up to `need`; it may take several steps to get there. Throws what the records throw. */
  async step(need: EvictionNeed): Promise<EvictionStep> {
    const { records } = this.#options;
    const victims: Candidate[] = [];
    const visited: Candidate[] = [];
    let { charge, entries } = need;
    if (this.#next >= this.#window.length) this.#turn();
    let last: Candidate | undefined;
    while (this.#next < this.#window.length && victims.length < BATCH) {
      if (charge <= 0 && entries <= 0) break;
      const candidate = this.#window[this.#next++] as Candidate;
      last = candidate;
      this.#fruitless++;
      if (records.isVisited(candidate)) visited.push(candidate);
      else if (!records.isRead(candidate.digest)) {
        victims.push(candidate);
        charge -= candidate.size + ENTRY_BYTES;
        entries--;
      }
    }
    // Where the newest was looked at, the hand goes back to the oldest now, not on to what comes later.
    if (this.#next >= this.#window.length) this.#turn();
    // Together, so that what both write is one transaction.
    const [removed] = await Promise.all([
      this.#remove(victims),
      last === undefined ? undefined : records.passed(visited, last),
    ]);
    if (removed > 0) this.#fruitless = 0;
    return {
      removed,
      passed: visited.reduce((sum, { size }) => sum + size + ENTRY_BYTES, 0),
      isStuck: last === undefined ? this.#isEmpty() : this.#fruitless > this.#twiceRound(),
    };
  }

  /** Ends the count of bodies that were looked at in vain. */
  rested(): void {
    this.#fruitless = 0;
  }

  #turn(): void {
    this.#window = this.#options.records.next(PAGE);
    this.#next = 0;
  }

  async #remove(victims: readonly Candidate[]): Promise<number> {
    if (victims.length === 0) return 0;
    const { records, pins, leaving } = this.#options;
    const pinned = await pins?.pinnedAmong(victims.map(({ digest }) => digest));
    const results = await Promise.all(
      victims.map(async (candidate) => {
        if (pinned?.has(candidate.digest) === true) return false;
        const left = leaving(candidate);
        try {
          return await records.remove(candidate);
        } finally {
          left();
        }
      }),
    );
    return results.filter(Boolean).length;
  }

  // A lap may end with an empty page.
  #isEmpty(): boolean {
    return this.#options.records.totals().entries === 0 || ++this.#fruitless > this.#twiceRound();
  }

  #twiceRound(): number {
    return 2 * this.#options.records.totals().entries + 2;
  }
}
