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
}

/** Blobs that were read at a time. */
export interface BlobsUsed {
  readonly op: 'used';
  readonly backend: string;
  readonly digests: readonly string[];
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What the writer thread of the node-local database is asked. Answered with whether anything was changed. */
export type NodeWrite = BlobPut | BlobDrop | BlobsUsed;
