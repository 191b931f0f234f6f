import type { SqliteDatabase } from '../sqlite/open-database.ts';
import type { Stat } from './backend.ts';
import { type Digest, digestBytes, digestFromBytes } from './digest.ts';
import type { Candidate, Totals } from './sieve.ts';

interface AgeRow {
  readonly digest: Buffer;
  readonly size: number;
  readonly modified_at: number;
  readonly visited: number;
  readonly place: number;
}

interface StoreRow {
  readonly bytes: number;
  readonly entries: number;
  readonly hand_at: number;
  readonly hand_digest: Buffer;
}

/** Where a walk through the order of arrival goes on. */
export type AgePosition = Pick<Stat, 'modifiedAt'> & { readonly digest: Buffer };

/** Reads of the node-local database that eviction needs: only of blobs that this node put. Synchronous. */
export class BlobAges {
  readonly #read: <T>(read: () => T) => T | undefined;
  readonly #store;
  readonly #page;
  readonly #row;
  readonly #newest;
  readonly #totals = new Map<string, Totals>();

  /** `read` runs a read and translates its errors; what it cannot give is absent. */
  constructor(reader: SqliteDatabase, read: <T>(read: () => T) => T | undefined) {
    this.#read = read;
    this.#store = reader.prepare<[string], StoreRow>(
      'SELECT bytes, entries, hand_at, hand_digest FROM blob_stores WHERE backend = ?',
    );
    this.#page = reader.prepare<[string, number, Buffer, number], AgeRow>(
      `SELECT digest, size, modified_at, visited, place FROM blobs
       WHERE backend = ? AND place >= 0 AND (modified_at, digest) > (?, ?) ORDER BY modified_at, digest LIMIT ?`,
    );
    this.#row = reader.prepare<[string, Buffer], AgeRow>(
      'SELECT digest, size, modified_at, visited, place FROM blobs WHERE backend = ? AND digest = ? AND place >= 0',
    );
    this.#newest = reader
      .prepare<[string], number>(
        'SELECT modified_at FROM blobs WHERE backend = ? AND place >= 0 ORDER BY modified_at DESC, digest DESC LIMIT 1',
      )
      .pluck();
  }

  /** What a backend holds. Read once between two writes. */
  totals(backend: string): Totals {
    const known = this.#totals.get(backend);
    if (known !== undefined) return known;
    const row = this.#read(() => this.#store.get(backend));
    if (row === undefined) return { bytes: 0, entries: 0 };
    const totals = { bytes: row.bytes, entries: row.entries };
    this.#totals.set(backend, totals);
    return totals;
  }

  /** Something of a backend was written. */
  written(backend: string): void {
    this.#totals.delete(backend);
  }

  /** When the last blob came, in milliseconds since the epoch. Absent: there is none. */
  newest(backend: string): number | undefined {
    return this.#read(() => this.#newest.get(backend)) as number | undefined;
  }

  /** Where eviction had come to. */
  hand(backend: string): AgePosition {
    const row = this.#read(() => this.#store.get(backend));
    return { modifiedAt: row?.hand_at ?? 0, digest: row?.hand_digest ?? Buffer.alloc(0) };
  }

  /** At most `limit` blobs that came after a position, oldest first. */
  page(backend: string, after: AgePosition, limit: number): readonly Candidate[] {
    const rows = this.#read(() => this.#page.all(backend, after.modifiedAt, after.digest, limit));
    return (rows ?? []).map(toCandidate);
  }

  /** One blob as it is now. Absent: it is not there, or another node put it. */
  find(backend: string, digest: Digest): Candidate | undefined {
    const row = this.#read(() => this.#row.get(backend, digestBytes(digest)));
    return row && toCandidate(row);
  }
}

function toCandidate(row: AgeRow): Candidate {
  return {
    digest: digestFromBytes(row.digest),
    size: row.size,
    modifiedAt: row.modified_at,
    visited: row.visited !== 0,
    place: row.place,
  };
}
