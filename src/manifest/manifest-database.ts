import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, renameSync, statSync } from 'node:fs';
import { migrate, schemaVersion } from '../sqlite/migrations.ts';
import { openDatabase, type SqliteDatabase } from '../sqlite/open-database.ts';
import type { Jid } from './entry.ts';
import { MANIFEST_MIGRATIONS, MANIFEST_SCHEMA } from './schema.ts';

/** Up to this size a database is checked when it is opened; a larger one is checked in the background. */
export const CHECKED_AT_OPEN_BYTES: number = 32 * 1024 * 1024;

/** A namespace during a transaction; numbers and totals are written once at its end. */
export interface NamespaceState {
  readonly nsid: number;
  readonly name: string;
  nextJid: Jid;
  lastPurgeJid: Jid;
  readonly purgeFloor: Jid;
  /** Newest `firstSeenAt` of an entry with an h1. Milliseconds since the epoch. */
  lastSeenAt: number;
  /** What the transaction adds to the totals. */
  entries: number;
  bytes: number;
}

/** How the file is opened. */
export interface ManifestDatabaseOptions {
  /** Absent: `wal`. */
  readonly journal?: 'wal' | 'delete' | undefined;
  /** False: it is not read through for damage, which takes long where it lies on LiteFS, whose own checksums cover it. Absent: it is. */
  readonly checked?: boolean | undefined;
}

/** The write side of the manifest: transactions, numbers and the file itself. Synchronous. */
export class ManifestDatabase {
  readonly path: string;
  readonly database: SqliteDatabase;
  readonly #inode: number;
  readonly #namespaces = new Map<string, NamespaceState>();

  /** Opens, checks and migrates; makes the file if missing. To be called under the HALT lock. */
  constructor(path: string, { journal, checked = true }: ManifestDatabaseOptions = {}) {
    this.path = path;
    this.database = openDatabase(path, { journal });
    try {
      this.#inode = statSync(path).ino;
      if (checked && statSync(path).size <= CHECKED_AT_OPEN_BYTES) checkDatabase(this.database);
      migrate(this.database, MANIFEST_SCHEMA, MANIFEST_MIGRATIONS);
    } catch (error) {
      this.database.close();
      throw error;
    }
  }

  /** Whether opening would change nothing, so that no lock is needed. Throws what opening throws. */
  static isCurrent(path: string): boolean {
    if (!existsSync(path) || statSync(path).size === 0) return false;
    const database = openDatabase(path, { readOnly: true });
    try {
      return schemaVersion(database, MANIFEST_SCHEMA) >= (MANIFEST_MIGRATIONS.at(-1)?.version ?? 0);
    } finally {
      database.close();
    }
  }

  /** False once another process put the file aside. */
  isInPlace(): boolean {
    return statSync(this.path, { throwIfNoEntry: false })?.ino === this.#inode;
  }

  /** Runs `work` in one transaction. What it did to namespaces is written with it. `beforeCommit` may still throw. */
  transaction<Result>(work: () => Result, beforeCommit: () => void): Result {
    this.#namespaces.clear();
    return this.database
      .transaction(() => {
        const result = work();
        this.#writeNamespaces();
        beforeCommit();
        return result;
      })
      .immediate();
  }

  /** A namespace inside a transaction; made if missing. */
  namespace(name: string): NamespaceState {
    let state = this.#namespaces.get(name) ?? this.#readNamespace(name);
    if (state === undefined) {
      this.database
        .prepare(
          'INSERT INTO namespaces (name, kind, epoch, first_jid, next_jid) VALUES (?, ?, ?, 1, 1)',
        )
        .run(name, 'cache', randomBytes(8).toString('hex'));
      state = this.#readNamespace(name) as NamespaceState;
    }
    this.#namespaces.set(name, state);
    return state;
  }

  /** Names of all namespaces. */
  namespaceNames(): string[] {
    return this.database.prepare('SELECT name FROM namespaces').pluck().all() as string[];
  }

  close(): void {
    this.database.close();
  }

  #readNamespace(name: string): NamespaceState | undefined {
    const row = this.database
      .prepare(
        'SELECT nsid, next_jid, last_purge_jid, purge_floor, last_seen_at FROM namespaces WHERE name = ?',
      )
      .raw()
      .get(name) as [number, number, number, number, number] | undefined;
    if (row === undefined) return undefined;
    const [nsid, nextJid, lastPurgeJid, purgeFloor, lastSeenAt] = row;
    return { nsid, name, nextJid, lastPurgeJid, purgeFloor, lastSeenAt, entries: 0, bytes: 0 };
  }

  #writeNamespaces(): void {
    const update = this.database.prepare(
      'UPDATE namespaces SET next_jid = ?, last_purge_jid = ?, last_seen_at = ? WHERE nsid = ?',
    );
    const count = this.database.prepare(
      `INSERT INTO counters (nsid, name, value) VALUES (?, ?, ?)
       ON CONFLICT (nsid, name) DO UPDATE SET value = value + excluded.value`,
    );
    for (const state of this.#namespaces.values()) {
      const { nsid, nextJid, lastPurgeJid, lastSeenAt, entries, bytes } = state;
      update.run(nextJid, lastPurgeJid, lastSeenAt, nsid);
      if (entries !== 0) count.run(nsid, 'entries', entries);
      if (bytes !== 0) count.run(nsid, 'bytes', bytes);
    }
  }
}

/** Throws `SQLITE_CORRUPT` when `PRAGMA quick_check` finds anything. */
export function checkDatabase(database: SqliteDatabase): void {
  const found = database.pragma('quick_check(1)', { simple: true });
  if (found !== 'ok') throw Object.assign(new Error(String(found)), { code: 'SQLITE_CORRUPT' });
}

/**
 * Throws `SQLITE_READONLY` when the file may not be written. Asks for the mode too: root could write a file that was made
 * read-only, and a descriptor opened before stays writable, but whoever made it so means it.
 */
export function assertWritable(path: string): void {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode;
  if (mode === undefined) return;
  try {
    accessSync(path, constants.W_OK);
    if ((mode & 0o222) !== 0) return;
  } catch {
    // Falls through to the one message that both cases share.
  }
  throw Object.assign(new Error(`${path} is read-only`), { code: 'SQLITE_READONLY' });
}

/** Renames a damaged database and its log so that they stay a pair; gives the new name. */
export function putAside(path: string, at: number): string {
  const aside = `${path}.damaged-${new Date(at).toISOString().replaceAll(':', '-')}`;
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  }
  return aside;
}
