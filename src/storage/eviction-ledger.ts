import type { BodyCache } from './body-cache.ts';
import { type Digest, digestBytes } from './digest.ts';
import type { EvictionReaders } from './eviction-readers.ts';
import type { NodeDatabase } from './node-database.ts';
import type { AgePosition } from './node-database-ages.ts';
import type { Candidate, SieveRecords, Totals } from './sieve.ts';

/** How a backend's rows in the node-local database become records that eviction can go through. */
export interface EvictionLedgerOptions {
  /** Of the backend. */
  readonly name: string;
  readonly database: NodeDatabase;
  /** Where hits are answered without asking the backend. Absent: nowhere. */
  readonly cache?: BodyCache | undefined;
  /** Absent: who reads need not be known, since the store lets readers finish. */
  readonly readers?: EvictionReaders | undefined;
  /**
   * Removes row and body if `mayGo` still says so when nobody else can change them; false: it stays. `mayGo` reads the row anew;
   * who drops it by `NodeDatabase.evict` needs only `isIdle`.
   */
  remove(candidate: Candidate, mayGo: () => boolean): Promise<boolean>;
}

/**
 * Eviction's view of what this node put into a backend: order, marks, totals and the hand are in the node-local database, so
 * neither a start nor memory depends on their number. Blobs that other nodes put are not in it.
 */
export class EvictionLedger implements SieveRecords {
  readonly #options: EvictionLedgerOptions;
  #hand: AgePosition | undefined;

  constructor(options: EvictionLedgerOptions) {
    this.#options = options;
    const { cache, database, name } = options;
    cache?.onLeave((digest) => database.used(name, digest));
  }

  totals(): Totals {
    return this.#options.database.ages.totals(this.#options.name);
  }

  next(limit: number): readonly Candidate[] {
    const { database, name } = this.#options;
    this.#hand ??= database.ages.hand(name);
    const page = database.ages.page(name, this.#hand, limit);
    const last = page.at(-1);
    this.#hand =
      last === undefined
        ? { modifiedAt: -1, digest: Buffer.alloc(0) }
        : { modifiedAt: last.modifiedAt, digest: digestBytes(last.digest) };
    return page;
  }

  isVisited({ digest, visited }: Candidate): boolean {
    const { cache, database, name } = this.#options;
    return visited || database.isUsed(name, digest) || cache?.isAsked(digest) === true;
  }

  isRead(digest: Digest): boolean {
    return this.#options.readers?.isRead(digest) === true;
  }

  /** Whether nobody reads it now or did since the hand last came by. */
  isIdle(candidate: Candidate): boolean {
    return !this.isVisited(candidate) && !this.isRead(candidate.digest);
  }

  async passed(visited: readonly Candidate[], last: Candidate): Promise<void> {
    const { cache, database, name } = this.#options;
    const digests = visited.map(({ digest }) => digest);
    for (const digest of digests) cache?.unmark(digest);
    // A mark that stays costs a lap of the hand.
    await database.passed(name, digests, last).catch(() => undefined);
  }

  async remove(candidate: Candidate): Promise<boolean> {
    const { database, name } = this.#options;
    const { digest, modifiedAt } = candidate;
    const mayGo = (): boolean => {
      const now = database.ages.find(name, digest);
      return now?.modifiedAt === modifiedAt && this.isIdle(now);
    };
    return await this.#options.remove(candidate, mayGo);
  }
}
