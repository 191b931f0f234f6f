import type { Stat } from './backend.ts';
import type { Digest } from './digest.ts';

/** How much there is of something kept. */
export interface Totals {
  readonly bytes: number;
  readonly entries: number;
}

/** A body that may have to go. */
export interface Candidate extends Stat {
  /** Whether it was asked for since the hand last came by, as far as its record says. */
  readonly visited: boolean;
  /** Where its backend keeps it, as its record says. Absent: it does not say. */
  readonly place?: number | undefined;
}

/**
 * A backend's bodies in the order they came, with a hand that goes round from the oldest to the newest (SIEVE, Zhang et al.,
 * NSDI 2024). What was asked for since the hand last came by stays and loses its mark; what was not goes. A hit moves nothing.
 */
export interface SieveRecords {
  /** What is kept now. Synchronous: asked at each put. */
  totals(): Totals;
  /** At most `limit` bodies from the hand on; the hand is then behind them. Empty: a lap ends, the next call begins another. */
  next(limit: number): readonly Candidate[];
  /** Whether a body was asked for since the hand last came by, as it is now. */
  isVisited(candidate: Candidate): boolean;
  /** Whether somebody is reading it now. */
  isRead(digest: Digest): boolean;
  /** Takes the marks of `visited` away; the hand has come to `last`. Resolves when that may be forgotten. Never rejects. */
  passed(visited: readonly Candidate[], last: Candidate): Promise<void>;
  /** Removes a body unless it was asked for or put again since, or is being read; false: it stays. */
  remove(candidate: Candidate): Promise<boolean>;
}

interface SieveRecord<Kept> {
  readonly kept: Kept;
  /** Rises from record to record. */
  readonly number: number;
  visited: boolean;
}

/** Records that lie in memory, in the order they were set. Every call takes constant time. */
export class Sieve<Kept extends Stat> {
  readonly #records = new Map<Digest, SieveRecord<Kept>>();
  #hand: Iterator<SieveRecord<Kept>> = this.#records.values();
  /** Number of the last record that the hand went by, and how many are before it. */
  #handNumber = -1;
  #ahead = 0;
  #nextNumber = 0;
  #bytes = 0;

  get totals(): Totals {
    return { bytes: this.#bytes, entries: this.#records.size };
  }

  /** Without marking it. */
  peek(digest: Digest): Kept | undefined {
    return this.#records.get(digest)?.kept;
  }

  /** Marks it as asked for. */
  get(digest: Digest): Kept | undefined {
    const record = this.#records.get(digest);
    if (record === undefined) return undefined;
    record.visited = true;
    return record.kept;
  }

  /** As the newest, not asked for. */
  set(kept: Kept): void {
    this.delete(kept.digest);
    this.#records.set(kept.digest, { kept, number: this.#nextNumber++, visited: false });
    this.#ahead++;
    this.#bytes += kept.size;
  }

  delete(digest: Digest): boolean {
    const record = this.#records.get(digest);
    if (record === undefined) return false;
    this.#bytes -= record.kept.size;
    if (record.number > this.#handNumber) this.#ahead--;
    return this.#records.delete(digest);
  }

  digests(): Digest[] {
    return [...this.#records.keys()];
  }

  clear(): void {
    this.#records.clear();
    this.#bytes = 0;
    this.#restart();
  }

  /** As `SieveRecords.next`. */
  next(limit: number): readonly Candidate[] {
    const found: Candidate[] = [];
    // An iterator that was once at its end would not see what is set later.
    while (found.length < limit && this.#ahead > 0) {
      const { kept, number, visited } = this.#hand.next().value as SieveRecord<Kept>;
      this.#handNumber = number;
      this.#ahead--;
      found.push({
        digest: kept.digest,
        size: kept.size,
        modifiedAt: kept.modifiedAt,
        visited,
      });
    }
    if (found.length === 0) this.#restart();
    return found;
  }

  isVisited(digest: Digest): boolean {
    return this.#records.get(digest)?.visited === true;
  }

  /** Takes the mark away. */
  unmark(digest: Digest): void {
    const record = this.#records.get(digest);
    if (record !== undefined) record.visited = false;
  }

  #restart(): void {
    this.#hand = this.#records.values();
    this.#handNumber = -1;
    this.#ahead = this.#records.size;
  }
}
