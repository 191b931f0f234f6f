import { existsSync } from 'node:fs';
import type { Statement } from 'better-sqlite3';
import { openDatabase, type SqliteDatabase } from '../sqlite/open-database.ts';
import type { Jid } from './entry.ts';
import { AT, isIntact, PUT_COLUMNS, ROW_COLUMNS, type SqlValue } from './entry-row.ts';
import type { PurgeKind } from './manifest.ts';

/** What a manifest says of one key and variant, or of many by a purge, as it can be written down elsewhere. */
export type RowNote =
  | {
      readonly op: 'put';
      readonly namespace: string;
      readonly jid: Jid;
      /** Milliseconds since the epoch. */
      readonly firstSeenAt: number;
      /** By `PUT_COLUMNS`. */
      readonly values: readonly SqlValue[];
    }
  | {
      readonly op: 'delete';
      readonly namespace: string;
      readonly jid: Jid;
      readonly key: string;
      readonly variant: string;
      /** Absent: the row is gone without a tombstone. */
      readonly rule?: string | undefined;
    }
  | {
      readonly op: 'purge';
      readonly namespace: string;
      readonly jid: Jid;
      readonly kind: PurgeKind;
      readonly value: string;
      readonly soft: boolean;
      /** Milliseconds since the epoch. */
      readonly at: number;
    };

/** A namespace of a manifest, as far as it goes. */
export interface NotedNamespace {
  readonly nsid: number;
  readonly name: string;
  readonly epoch: string;
  /** Highest number given. */
  readonly lastJid: Jid;
  /** Purges up to this number are no longer known. 0: all are. */
  readonly purgeFloor: Jid;
}

/** Some of what was asked for, and how far it reaches. */
export interface RowNotesPage<Position> {
  readonly notes: readonly RowNote[];
  /** To go on after. Absent: that was all. */
  readonly next?: Position | undefined;
}

/** A place among the rows of a namespace. */
export type RowPosition = readonly [key: string, variant: string];

const COLUMNS = ROW_COLUMNS.join(', ');

/**
 * A manifest's rows as they are on disk, tombstones and purges with them, on a connection of its own that only reads. Rows that
 * fail their checksum are left out. Synchronous; everything throws the library's errors.
 */
export class ManifestRows implements Disposable {
  readonly #database: SqliteDatabase;
  readonly #journal: Statement;
  readonly #row: Statement;

  private constructor(database: SqliteDatabase) {
    this.#database = database;
    this.#journal = database
      .prepare(
        'SELECT jid, op, key, variant FROM journal WHERE nsid = ? AND jid > ? ORDER BY jid LIMIT ?',
      )
      .raw();
    this.#row = database
      .prepare(`SELECT ${COLUMNS} FROM entries WHERE nsid = ? AND key = ? AND variant = ?`)
      .raw();
  }

  /** Absent: there is no manifest at that path, or nothing in it yet. */
  static open(path: string): ManifestRows | undefined {
    if (!existsSync(path)) return undefined;
    const database = openDatabase(path, { readOnly: true });
    try {
      const made = database
        .prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'namespaces'`)
        .get();
      if (made !== undefined) return new ManifestRows(database);
    } catch (error) {
      database.close();
      throw error;
    }
    database.close();
    return undefined;
  }

  /** In the order in which they came. The epoch of the first names the manifest: a restored or rebuilt one has another. */
  namespaces(): readonly NotedNamespace[] {
    const rows = this.#database
      .prepare('SELECT nsid, name, epoch, next_jid, purge_floor FROM namespaces ORDER BY nsid')
      .raw()
      .all() as [number, string, string, number, number][];
    return rows.map(([nsid, name, epoch, nextJid, purgeFloor]) => ({
      ...{ nsid, name, epoch, lastJid: nextJid - 1, purgeFloor },
    }));
  }

  /** A number that changes when any other connection has committed. */
  version(): number {
    return this.#database.pragma('data_version', { simple: true }) as number;
  }

  /** What rows are now whose journal has numbers above `since`. Absent: the journal no longer reaches back to it. */
  changes(
    { nsid, name, lastJid }: NotedNamespace,
    since: Jid,
    limit: number,
  ): RowNotesPage<Jid> | undefined {
    const changes = this.#journal.all(nsid, since, limit) as [number, string, string, string][];
    const [first] = changes;
    if (first === undefined ? lastJid !== since : first[0] !== since + 1) return undefined;
    const notes: RowNote[] = [];
    // The newest state is what counts, once.
    const seen = new Set<string>();
    for (const [jid, op, key, variant] of changes.toReversed()) {
      const id = op === 'purge' ? `${jid}` : `${key}\u0000${variant}`;
      if (seen.has(id)) continue;
      seen.add(id);
      const note =
        op === 'purge' ? this.#purge(nsid, name, jid) : this.#now(nsid, name, key, variant, jid);
      if (note !== undefined) notes.push(note);
    }
    return {
      notes: notes.reverse(),
      next: changes.length === limit ? changes.at(-1)?.[0] : undefined,
    };
  }

  /** Rows in order of key and variant. */
  rows(
    { nsid, name }: NotedNamespace,
    after: RowPosition | undefined,
    limit: number,
  ): RowNotesPage<RowPosition> {
    const from = after === undefined ? '' : 'AND (key, variant) > (?, ?)';
    const rows = this.#database
      .prepare(
        `SELECT ${COLUMNS} FROM entries WHERE nsid = ? ${from} ORDER BY key, variant LIMIT ?`,
      )
      .raw()
      .all(nsid, ...(after ?? []), limit) as SqlValue[][];
    const end = rows.at(-1);
    return {
      notes: rows.flatMap((row) => noteOf(name, row)),
      next:
        rows.length === limit && end !== undefined
          ? [end[AT.key] as string, end[AT.variant] as string]
          : undefined,
    };
  }

  /** Purges that are still known, in order. */
  purges({ nsid, name }: NotedNamespace): readonly RowNote[] {
    const jids = this.#database
      .prepare('SELECT jid FROM purges WHERE nsid = ? ORDER BY jid')
      .pluck()
      .all(nsid) as number[];
    return jids.flatMap((jid) => this.#purge(nsid, name, jid) ?? []);
  }

  /** Whether there is any row but tombstones. */
  hasRows(): boolean {
    return (
      this.#database.prepare('SELECT 1 FROM entries WHERE deleted = 0 LIMIT 1').get() !== undefined
    );
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #now(
    nsid: number,
    namespace: string,
    key: string,
    variant: string,
    jid: Jid,
  ): RowNote | undefined {
    const row = this.#row.get(nsid, key, variant) as SqlValue[] | undefined;
    if (row === undefined) return { op: 'delete', namespace, jid, key, variant };
    return noteOf(namespace, row)[0];
  }

  #purge(nsid: number, namespace: string, jid: Jid): RowNote | undefined {
    const row = this.#database
      .prepare('SELECT kind, value, soft, at FROM purges WHERE nsid = ? AND jid = ?')
      .raw()
      .get(nsid, jid) as [PurgeKind, string, number, number] | undefined;
    if (row === undefined) return undefined;
    const [kind, value, soft, at] = row;
    return { op: 'purge', namespace, jid, kind, value, soft: soft === 1, at };
  }
}

function noteOf(namespace: string, row: readonly SqlValue[]): RowNote[] {
  if (!isIntact(row)) return [];
  const jid = row[AT.jid] as number;
  if (row[AT.deleted] === 1) {
    const [key, variant, rule] = [row[AT.key], row[AT.variant], row[AT.rule]] as string[];
    return [{ op: 'delete', namespace, jid, key: key ?? '', variant: variant ?? '', rule }];
  }
  const values = PUT_COLUMNS.map((column) => row[AT[column]] ?? null);
  return [{ op: 'put', namespace, jid, firstSeenAt: row[AT.first_seen_at] as number, values }];
}
