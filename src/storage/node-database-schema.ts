import type { Migration } from '../sqlite/migrations.ts';

/** Name of the storage tables' schema in the node-local database. */
export const STORAGE_SCHEMA: string = 'storage';

/**
 * `blobs`: what each backend of this node keeps. `blocks` is NULL where the digest says it all (one block, or none);
 * `place` is the row of `small_bodies` that holds the body, 0 where the backend keeps it elsewhere, -1 where it does and another
 * node put it there.
 * Small bodies have ids of their own so that they are appended, page after page, not spread by digest.
 */
export const STORAGE_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE blobs (
        backend     TEXT    NOT NULL,
        digest      BLOB    NOT NULL CHECK (length(digest) = 32),
        size        INTEGER NOT NULL,
        blocks      BLOB,
        place       INTEGER NOT NULL,
        modified_at INTEGER NOT NULL,
        last_used   INTEGER NOT NULL,
        PRIMARY KEY (backend, digest)
      ) WITHOUT ROWID;
      CREATE TABLE small_bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL);`,
  },
  {
    // Eviction: `visited` says whether a blob was asked for since the hand of its backend last came by. The index gives the order
    // of arrival of what this node put; `blob_stores` what each backend holds of it, so that nothing has to be summed, and the hand.
    version: 2,
    sql: `
      ALTER TABLE blobs ADD COLUMN visited INTEGER NOT NULL DEFAULT 0;
      UPDATE blobs SET visited = 1 WHERE last_used > modified_at;
      CREATE INDEX blobs_by_age ON blobs (backend, modified_at, digest) WHERE place >= 0;
      CREATE TABLE blob_stores (
        backend     TEXT    PRIMARY KEY,
        bytes       INTEGER NOT NULL,
        entries     INTEGER NOT NULL,
        hand_at     INTEGER NOT NULL DEFAULT 0,
        hand_digest BLOB    NOT NULL DEFAULT x''
      ) WITHOUT ROWID;
      INSERT INTO blob_stores (backend, bytes, entries)
        SELECT backend, sum(size), count(*) FROM blobs WHERE place >= 0 GROUP BY backend;
      CREATE TRIGGER blobs_added AFTER INSERT ON blobs WHEN new.place >= 0 BEGIN
        INSERT INTO blob_stores (backend, bytes, entries) VALUES (new.backend, new.size, 1)
          ON CONFLICT (backend) DO UPDATE SET bytes = bytes + new.size, entries = entries + 1;
      END;
      CREATE TRIGGER blobs_removed AFTER DELETE ON blobs WHEN old.place >= 0 BEGIN
        UPDATE blob_stores SET bytes = bytes - old.size, entries = entries - 1 WHERE backend = old.backend;
      END;
      CREATE TRIGGER blobs_changed AFTER UPDATE OF size, place ON blobs
        WHEN (new.size <> old.size OR (new.place >= 0) <> (old.place >= 0)) BEGIN
        INSERT INTO blob_stores (backend, bytes, entries) VALUES (new.backend, 0, 0) ON CONFLICT (backend) DO NOTHING;
        UPDATE blob_stores
          SET bytes = bytes + iif(new.place >= 0, new.size, 0) - iif(old.place >= 0, old.size, 0),
            entries = entries + (new.place >= 0) - (old.place >= 0)
          WHERE backend = new.backend;
      END;`,
  },
];

/** A row of `blobs` to be written, with its body where that is to lie in the database. */
export interface BlobPut {
  readonly op: 'put';
  readonly backend: string;
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly blocks: Uint8Array | null;
  readonly body: Uint8Array | null;
  /** True: another node put it there, unless a row says that this one did. */
  readonly isForeign: boolean;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
}

/** A row of `blobs` to be removed, and its body with it. */
export interface BlobDrop {
  readonly op: 'drop';
  readonly backend: string;
  readonly digest: string;
  /** Only if the row still has this time. Absent: in any case. */
  readonly ifModifiedAt?: number | undefined;
  /** True: only if no use of it was written since the hand of eviction last came by. Absent: in any case. */
  readonly ifUnused?: boolean | undefined;
}

/** Blobs that were read at a time. */
export interface BlobsUsed {
  readonly op: 'used';
  readonly backend: string;
  readonly digests: readonly string[];
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** The hand of a backend's eviction went by some blobs that had been read, and they stay until it comes again. */
export interface BlobsPassed {
  readonly op: 'passed';
  readonly backend: string;
  readonly digests: readonly string[];
  /** The blob that the hand is at. */
  readonly modifiedAt: number;
  readonly digest: string;
}

/** What the writer thread of the node-local database is asked. Answered with whether anything was changed. */
export type NodeWrite = (BlobPut | BlobDrop | BlobsUsed | BlobsPassed) & {
  /** True: it may be lost with the power. Absent: it is on disk when it is answered. */
  readonly isRelaxed?: boolean | undefined;
};
