import { openDatabase, type SqliteDatabase } from '../sqlite/open-database.ts';
import { endOfPrefix, PUT_COLUMNS, type SqlValue } from './entry-row.ts';
import { tagsOfRow } from './entry-tags.ts';
import type { RowNote } from './manifest-rows.ts';

/** A body that gathered rows name. */
export interface GatheredBody {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** Rule of the rows. */
  readonly rule: string;
  /** How many there are. */
  readonly rows: number;
}

/** A gathered row as it counts. */
export interface GatheredRow {
  readonly namespace: string;
  readonly key: string;
  readonly variant: string;
  readonly rule: string;
  /** Milliseconds since the epoch; 0 where `values` is absent. */
  readonly firstSeenAt: number;
  /** True: a purge made it stale. */
  readonly isStale: boolean;
  /** By `PUT_COLUMNS`. Absent: it was deleted, and that is what is known. */
  readonly values?: readonly SqlValue[] | undefined;
}

/** Bodies read at a time. */
const PAGE = 500;
const KEY_AT = PUT_COLUMNS.indexOf('key');
const VARIANT_AT = PUT_COLUMNS.indexOf('variant');
const RULE_AT = PUT_COLUMNS.indexOf('rule');
const DIGEST_AT = PUT_COLUMNS.indexOf('digest');
const HEADERS_AT = PUT_COLUMNS.indexOf('response_headers');
const SIZE_AT = PUT_COLUMNS.indexOf('size');
const H1_AT = PUT_COLUMNS.indexOf('h1');

/**
 * Brings notes of one or several manifests together, in a database of its own that is thrown away afterwards: what a later manifest
 * says, and of one manifest the higher number, counts, in whatever order it comes. Synchronous; throws the library's errors.
 */
export class GatheredRows implements Disposable {
  readonly #database: SqliteDatabase;
  readonly #put;
  readonly #purge;

  /** `path`: where nothing lies yet. */
  constructor(path: string) {
    this.#database = openDatabase(path);
    this.#database.function('has_tag', { deterministic: true }, hasTag);
    // Nothing of it outlives the process.
    this.#database.pragma('synchronous = OFF');
    this.#database.exec(`
      CREATE TABLE rows (
        ns TEXT NOT NULL, key TEXT NOT NULL, variant TEXT NOT NULL, rank INTEGER NOT NULL, jid INTEGER NOT NULL,
        live INTEGER NOT NULL, stale INTEGER NOT NULL DEFAULT 0, rule TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
        pinned INTEGER NOT NULL, seen INTEGER NOT NULL, data TEXT NOT NULL, UNIQUE (ns, key, variant));
      CREATE TABLE purges (
        ns TEXT NOT NULL, rank INTEGER NOT NULL, jid INTEGER NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL,
        soft INTEGER NOT NULL, UNIQUE (ns, rank, jid));
      CREATE TABLE floors (ns TEXT PRIMARY KEY, rank INTEGER NOT NULL);`);
    this.#put = this.#database.prepare(
      `INSERT INTO rows (ns, key, variant, rank, jid, live, rule, digest, size, pinned, seen, data)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (ns, key, variant) DO UPDATE SET rank = excluded.rank, jid = excluded.jid, live = excluded.live,
         rule = excluded.rule, digest = excluded.digest, size = excluded.size, pinned = excluded.pinned, seen = excluded.seen, data = excluded.data
       WHERE (excluded.rank, excluded.jid, excluded.live) > (rows.rank, rows.jid, rows.live)`,
    );
    this.#purge = this.#database.prepare(
      'INSERT OR IGNORE INTO purges (ns, rank, jid, kind, value, soft) VALUES (?, ?, ?, ?, ?, ?)',
    );
  }

  /** Takes notes of one manifest; a later manifest has a higher `rank`. */
  add(notes: Iterable<RowNote>, rank: number): void {
    this.#database.transaction(() => {
      for (const note of notes) this.#take(note, rank);
    })();
  }

  /** Says that this manifest has forgotten purges: what earlier ones had of the namespace may have been purged, and is left out. */
  forgetBefore(namespace: string, rank: number): void {
    this.#database
      .prepare(
        `INSERT INTO floors (ns, rank) VALUES (?, ?)
         ON CONFLICT (ns) DO UPDATE SET rank = max(rank, excluded.rank)`,
      )
      .run(namespace, rank);
  }

  /** To be called once all is taken: purges take what they purged. Gives how many rows count. */
  settle(): number {
    const database = this.#database;
    database.exec(
      'DELETE FROM rows WHERE rank < (SELECT floors.rank FROM floors WHERE floors.ns = rows.ns)',
    );
    const purges = database
      .prepare('SELECT ns, rank, jid, kind, value, soft FROM purges ORDER BY rank, jid')
      .raw()
      .all() as [string, number, number, string, string, number][];
    for (const [ns, rank, jid, kind, value, soft] of purges) {
      const { sql, values } = conditionOf(kind, value);
      database
        .prepare(
          `UPDATE rows SET ${soft === 1 ? 'stale = 1' : 'live = 0'}
           WHERE ns = ? AND live = 1 AND (rank, jid) < (?, ?) AND ${sql}`,
        )
        .run(ns, rank, jid, ...values);
    }
    database.exec('CREATE INDEX rows_by_body ON rows (digest, size, rule) WHERE live = 1');
    return this.count();
  }

  /** How many rows count. */
  count(): number {
    return this.#database
      .prepare('SELECT count(*) FROM rows WHERE live = 1')
      .pluck()
      .get() as number;
  }

  /** How many `bodies` gives. */
  bodyCount(): number {
    return this.#database
      .prepare(
        'SELECT count(*) FROM (SELECT 1 FROM rows WHERE live = 1 GROUP BY digest, size, rule)',
      )
      .pluck()
      .get() as number;
  }

  /** Each body that rows of a rule name, in order of digest; rows may be dropped meanwhile. */
  *bodies(): Generator<GatheredBody> {
    const page = this.#database
      .prepare(
        `SELECT digest, size, rule, count(*) FROM rows WHERE live = 1 AND (digest, size, rule) > (?, ?, ?)
         GROUP BY digest, size, rule ORDER BY digest, size, rule LIMIT ${PAGE}`,
      )
      .raw();
    let after: [string, number, string] = ['', 0, ''];
    for (;;) {
      const found = page.all(...after) as [string, number, string, number][];
      for (const [digest, size, rule, rows] of found) {
        yield { digest, size, rule, rows };
        after = [digest, size, rule];
      }
      if (found.length < PAGE) return;
    }
  }

  /** Leaves out the rows of a rule that name a body, but for those that say what it must hash to. */
  drop({ digest, size, rule }: Omit<GatheredBody, 'rows'>): void {
    this.#database
      .prepare(
        'DELETE FROM rows WHERE live = 1 AND pinned = 0 AND digest = ? AND size = ? AND rule = ?',
      )
      .run(digest, size, rule);
  }

  /** What is left, by namespace, in the order in which it was first seen. */
  *rows(): Generator<GatheredRow> {
    const rows = this.#database
      .prepare(
        'SELECT ns, key, variant, rule, seen, stale, live, data FROM rows ORDER BY ns, seen, key, variant',
      )
      .raw()
      .iterate() as IterableIterator<
      [string, string, string, string, number, number, number, string]
    >;
    for (const [namespace, key, variant, rule, firstSeenAt, stale, live, data] of rows) {
      const row = { namespace, key, variant, rule, firstSeenAt, isStale: stale === 1 };
      yield live === 1 ? { ...row, values: JSON.parse(data) as SqlValue[] } : row;
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #take(note: RowNote, rank: number): void {
    const { op, namespace, jid } = note;
    if (op === 'purge') {
      this.#purge.run(namespace, rank, jid, note.kind, note.value, note.soft ? 1 : 0);
      return;
    }
    if (op === 'delete') {
      const { key, variant, rule = '' } = note;
      this.#put.run(namespace, key, variant, rank, jid, 0, rule, '', 0, 0, 0, '');
      return;
    }
    const { values, firstSeenAt } = note;
    const data = JSON.stringify(values);
    const [key, variant, rule] = [values[KEY_AT], values[VARIANT_AT], values[RULE_AT]];
    const [digest, size] = [values[DIGEST_AT], values[SIZE_AT]];
    const body = [digest, size, values[H1_AT] === null ? 0 : 1];
    this.#put.run(namespace, key, variant, rank, jid, 1, rule, ...body, firstSeenAt, data);
  }
}

function hasTag(data: string, tag: string): number {
  const values = JSON.parse(data) as SqlValue[];
  return tagsOfRow(values[HEADERS_AT] as string).has(tag) ? 1 : 0;
}

function conditionOf(
  kind: string,
  value: string,
): { readonly sql: string; readonly values: readonly string[] } {
  if (kind === 'key') return { sql: 'key = ?', values: [value] };
  if (kind === 'rule') return { sql: 'rule = ?', values: [value] };
  if (kind === 'tag') return { sql: 'has_tag(data, ?)', values: [value] };
  if (kind !== 'prefix') return { sql: '1', values: [] };
  const end = endOfPrefix(value);
  return end === undefined
    ? { sql: 'key >= ?', values: [value] }
    : { sql: 'key >= ? AND key < ?', values: [value, end] };
}
