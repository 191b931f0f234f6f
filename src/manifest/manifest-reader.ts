import type { Statement } from 'better-sqlite3';
import { openDatabase, type SqliteDatabase } from '../sqlite/open-database.ts';
import type { Entry, EntryPolicy, Jid } from './entry.ts';
import { AT, isIntact, ROW_COLUMNS, type SqlValue, toEntry } from './entry-row.ts';
import type { JournalRow, PurgeKind, RuleTag } from './manifest.ts';
import {
  type KeyPosition,
  type RowPage,
  type RowQuery,
  rowsByKey,
  rowsBySeen,
  type SeenPosition,
} from './row-pages.ts';

/** A namespace as the database has it. */
export interface NamespaceRow {
  readonly nsid: number;
  readonly name: string;
  readonly epoch: string;
  readonly firstJid: Jid;
  readonly nextJid: Jid;
}

/** Rows of a key or of a page: entries that are whole, and variants whose row failed its checksum. */
export interface ReadEntries {
  readonly namespace: string;
  readonly entries: readonly Entry[];
  readonly broken: readonly { readonly key: string; readonly variant: string }[];
}

/** Those of a page. */
export interface ReadPage<Position> extends ReadEntries {
  /** To go on after, whether entries were found or not. Absent: nothing is left. */
  readonly next?: Position | undefined;
}

/** Which keys of a namespace, and how many rows at most. */
export type PageFilter = Omit<RowQuery, 'nsid'>;

/** Freshness by key and variant, as noted on this node. */
interface Freshness {
  readonly jid: Jid;
  readonly freshUntil: number;
  readonly staleAt: number;
  readonly policy: EntryPolicy;
}

/** A node-local database that is not there is not looked for at every lookup. */
const FRESHNESS_RETRY_MS = 1000;

/** The read side of the manifest, on connections that cannot write. Synchronous; never waits for a writer. */
export class ManifestReader {
  readonly #database: SqliteDatabase;
  readonly #nodeDatabasePath: string;
  #nodeDatabase: SqliteDatabase | undefined;
  readonly #namespaces = new Map<string, NamespaceRow>();
  readonly #ofKey: Statement;
  readonly #version: Statement;
  #freshness: Statement | undefined;
  #freshnessRetryAt = 0;

  /** Throws SQLite's errors: no file, no schema yet, not a database. */
  constructor(path: string, nodeDatabasePath: string) {
    this.#database = openDatabase(path, { readOnly: true });
    this.#nodeDatabasePath = nodeDatabasePath;
    try {
      this.#ofKey = this.#database
        .prepare(
          `SELECT ${ROW_COLUMNS.join(', ')} FROM entries WHERE nsid = ? AND key = ? AND deleted = 0`,
        )
        .raw();
      this.#version = this.#database.prepare('PRAGMA data_version').pluck();
      this.readNamespaces();
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** A number that changes when any other connection has committed. */
  version(): number {
    return this.#version.get() as number;
  }

  /** All namespaces, freshly read. */
  readNamespaces(): readonly NamespaceRow[] {
    const rows = this.#database
      .prepare('SELECT nsid, name, epoch, first_jid, next_jid FROM namespaces ORDER BY name')
      .raw()
      .all() as [number, string, string, number, number][];
    this.#namespaces.clear();
    for (const [nsid, name, epoch, firstJid, nextJid] of rows) {
      this.#namespaces.set(name, { nsid, name, epoch, firstJid, nextJid });
    }
    return [...this.#namespaces.values()];
  }

  /** A namespace by name; epoch and nsid are current, the numbers as last read. Absent: there is none. */
  namespace(name: string): NamespaceRow | undefined {
    const known = this.#namespaces.get(name);
    if (known !== undefined) return known;
    this.readNamespaces();
    return this.#namespaces.get(name);
  }

  /** Every variant of a key, newest first. */
  lookup(namespace: string, key: string): ReadEntries {
    const found = this.namespace(namespace);
    if (found === undefined) return { namespace, entries: [], broken: [] };
    return this.#toEntries(found, this.#ofKey.all(found.nsid, key) as SqlValue[][]);
  }

  /** Rows whose key begins with `prefix`, after a key and variant and in that order; tombstones left out. */
  page(
    namespace: NamespaceRow,
    filter: PageFilter,
    prefix: string,
    after: KeyPosition | undefined,
  ): ReadPage<KeyPosition> {
    const query = { ...filter, nsid: namespace.nsid };
    return this.#toPage(namespace, rowsByKey(this.#database, query, prefix, after));
  }

  /** Rows with an h1 that were first seen at `since` or later, in that order; tombstones left out. */
  seen(
    namespace: NamespaceRow,
    filter: PageFilter,
    since: number,
    after: SeenPosition | undefined,
  ): ReadPage<SeenPosition> {
    const query = { ...filter, nsid: namespace.nsid };
    return this.#toPage(namespace, rowsBySeen(this.#database, query, since, after));
  }

  journal(namespace: NamespaceRow, since: Jid, limit: number): JournalRow[] {
    const rows = this.#database
      .prepare(
        `SELECT jid, op, key, variant, digest, size, base_jid, change_id, actor, at
         FROM journal WHERE nsid = ? AND jid > ? ORDER BY jid LIMIT ?`,
      )
      .all(namespace.nsid, since, limit) as Record<string, SqlValue>[];
    return rows.map((row) => toJournalRow(namespace.name, row));
  }

  /** The same without rows that a later one of the same key and variant has overtaken. */
  latest(namespace: NamespaceRow, since: Jid, limit: number): JournalRow[] {
    const rows = this.#database
      .prepare(
        `SELECT j.jid, op, j.key, j.variant, j.digest, j.size, base_jid, change_id, actor, at FROM journal j
         LEFT JOIN entries e ON e.nsid = j.nsid AND e.key = j.key AND e.variant = j.variant
         WHERE j.nsid = ? AND j.jid > ? AND (op = 'purge' OR e.jid IS NULL OR e.jid <= j.jid)
         ORDER BY j.jid LIMIT ?`,
      )
      .all(namespace.nsid, since, limit) as Record<string, SqlValue>[];
    return rows.map((row) => toJournalRow(namespace.name, row));
  }

  /** Several reads of one state. */
  inTransaction<Result>(work: (database: SqliteDatabase) => Result): Result {
    return this.#database.transaction(() => work(this.#database))();
  }

  purgesSince(
    namespace: NamespaceRow,
    since: Jid,
  ): { readonly jid: Jid; readonly kind: PurgeKind; readonly value: string }[] {
    return this.#database
      .prepare('SELECT jid, kind, value FROM purges WHERE nsid = ? AND jid > ? ORDER BY jid')
      .all(namespace.nsid, since) as { jid: Jid; kind: PurgeKind; value: string }[];
  }

  /** As `Manifest.isReferenced`, of rows alone. */
  names(digest: string, rules?: ReadonlySet<string>, tags: readonly RuleTag[] = []): boolean {
    const which = rules && [JSON.stringify([...rules])];
    const ofRule = 'rule IN (SELECT value FROM json_each(?))';
    if (tags.length > 0) which?.push(JSON.stringify(tags));
    const tagged = `EXISTS (
      SELECT 1 FROM json_each(?) AS pin JOIN entry_tags t ON t.nsid = e.nsid AND t.tag = pin.value ->> 1
      WHERE pin.value ->> 0 = e.rule AND t.key = e.key AND t.variant = e.variant)`;
    const where = which && `AND (${tags.length > 0 ? `${ofRule} OR ${tagged}` : ofRule})`;
    const found = this.#database
      .prepare(`SELECT 1 FROM entries e WHERE digest = ? AND deleted = 0 ${where ?? ''} LIMIT 1`)
      .get(digest, ...(which ?? []));
    return found !== undefined;
  }

  close(): void {
    this.#database.close();
    this.#nodeDatabase?.close();
  }

  #toPage<Position>(namespace: NamespaceRow, page: RowPage<Position>): ReadPage<Position> {
    return { ...this.#toEntries(namespace, page.rows, false), next: page.next };
  }

  #toEntries(
    namespace: NamespaceRow,
    rows: readonly SqlValue[][],
    newestFirst = true,
  ): ReadEntries {
    const entries: Entry[] = [];
    const broken: { key: string; variant: string }[] = [];
    for (const row of rows) {
      if (isIntact(row)) entries.push(this.#withFreshness(namespace, toEntry(namespace.name, row)));
      else broken.push({ key: row[AT.key] as string, variant: row[AT.variant] as string });
    }
    if (newestFirst) entries.sort((a, b) => b.storedAt - a.storedAt || b.jid - a.jid);
    return { namespace: namespace.name, entries, broken };
  }

  #withFreshness(namespace: NamespaceRow, entry: Entry): Entry {
    const noted = this.#freshnessOf(namespace.epoch, entry);
    if (noted === undefined || noted.jid !== entry.jid) return entry;
    return { ...entry, freshUntil: noted.freshUntil, staleAt: noted.staleAt, policy: noted.policy };
  }

  #freshnessOf(epoch: string, { key, variant }: Entry): Freshness | undefined {
    try {
      if (this.#freshness === undefined) {
        if (performance.now() < this.#freshnessRetryAt) return undefined;
        this.#nodeDatabase ??= openDatabase(this.#nodeDatabasePath, { readOnly: true });
        this.#freshness = this.#nodeDatabase
          .prepare(
            'SELECT jid, fresh_until, stale_at, policy FROM freshness WHERE epoch = ? AND key = ? AND variant = ?',
          )
          .raw();
      }
      const row = this.#freshness.get(epoch, key, variant) as
        | [number, number, number, string]
        | undefined;
      if (row === undefined) return undefined;
      const [jid, freshUntil, staleAt, policy] = row;
      return { jid, freshUntil, staleAt, policy: JSON.parse(policy) as EntryPolicy };
    } catch {
      this.#freshnessRetryAt = performance.now() + FRESHNESS_RETRY_MS;
      // Without it an entry is confirmed once more than needed; the node-local database has its own keeper.
      return undefined;
    }
  }
}

function toJournalRow(namespace: string, row: Record<string, SqlValue>): JournalRow {
  const { digest, size } = row as { digest: string | null; size: number | null };
  return {
    namespace,
    jid: row['jid'] as number,
    op: row['op'] as JournalRow['op'],
    key: row['key'] as string,
    variant: row['variant'] as string,
    ...(digest !== null && { digest }),
    ...(size !== null && { size }),
    baseJid: row['base_jid'] as number,
    changeId: row['change_id'] as string,
    actor: row['actor'] as string,
    at: row['at'] as number,
  };
}
