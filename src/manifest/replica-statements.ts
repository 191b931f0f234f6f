import type { Statement } from 'better-sqlite3';
import { ProxyError } from '../errors.ts';
import { AT, endOfPrefix, isIntact, ROW_COLUMNS, rowSum, type SqlValue } from './entry-row.ts';
import type { ManifestDatabase } from './manifest-database.ts';
import { JOURNAL_COLUMNS, PURGE_COLUMNS } from './primary-feed.ts';
import type { ChangePage, Columns, NamespaceInfo, Row } from './primary-protocol.ts';

/** Where a namespace of this replica stands. `epoch` '': its snapshot is not whole. */
export interface LocalNamespace {
  readonly name: string;
  readonly nsid: number;
  readonly epoch: string;
  readonly nextJid: number;
}

const SUMMED = ROW_COLUMNS.length - 1;
const TOMBSTONE_HEADERS = '[]';
const [J_JID, J_KEY, J_VARIANT, J_OP] = [0, 1, 2, 3];
const [P_JID, P_KIND, P_VALUE] = [0, 1, 2];

/** Brings another node's rows into this database. Each method runs inside a transaction. Synchronous. */
export class ReplicaStatements {
  readonly #database: ManifestDatabase['database'];
  readonly #upsert: Statement;
  readonly #journal: Statement;
  readonly #purge: Statement;
  readonly #older: Statement;

  constructor({ database }: ManifestDatabase) {
    this.#database = database;
    const names = ROW_COLUMNS.join(', ');
    this.#upsert = database.prepare(
      `INSERT INTO entries (${names}) VALUES (${marks(ROW_COLUMNS.length)})
       ON CONFLICT (nsid, key, variant) DO UPDATE SET ${ROW_COLUMNS.map((column) => `${column} = excluded.${column}`).join(', ')}
       WHERE excluded.jid >= entries.jid`,
    );
    this.#journal = database.prepare(
      `INSERT OR REPLACE INTO journal (nsid, ${JOURNAL_COLUMNS.join(', ')}) VALUES (${marks(JOURNAL_COLUMNS.length + 1)})`,
    );
    this.#purge = database.prepare(
      `INSERT OR REPLACE INTO purges (nsid, ${PURGE_COLUMNS.join(', ')}) VALUES (${marks(PURGE_COLUMNS.length + 1)})`,
    );
    this.#older = database
      .prepare(
        `SELECT ${names} FROM entries WHERE nsid = ? AND key = ? AND variant = ? AND deleted = 0 AND jid < ?`,
      )
      .raw();
  }

  namespaces(): LocalNamespace[] {
    return this.#database
      .prepare('SELECT name, nsid, epoch, next_jid AS nextJid FROM namespaces')
      .all() as LocalNamespace[];
  }

  /** Removes at most `rows` rows of a namespace that the primary has not, or under another number; true: nothing is left of it. */
  remove(nsid: number, rows: number): boolean {
    for (const [table, key] of [
      ['entries', 'key, variant'],
      ['journal', 'jid'],
      ['purges', 'jid'],
      ['counters', 'name'],
    ]) {
      const { changes } = this.#database
        .prepare(
          `DELETE FROM ${table} WHERE nsid = ? AND (${key}) IN (SELECT ${key} FROM ${table} WHERE nsid = ? LIMIT ?)`,
        )
        .run(nsid, nsid, rows);
      if (changes === rows) return false;
    }
    this.#database.prepare('DELETE FROM namespaces WHERE nsid = ?').run(nsid);
    return true;
  }

  /** Makes a namespace whose whole journal follows. */
  begin(info: NamespaceInfo): void {
    this.#database
      .prepare(
        'INSERT INTO namespaces (nsid, name, kind, epoch, first_jid, next_jid) VALUES (?, ?, ?, ?, 1, 1)',
      )
      .run(info.nsid, info.name, info.kind, info.epoch);
  }

  /**
   * Applies a page of changes if the namespace stands where the page begins; the cursor moves with it. False: it does not,
   * since another process was first. Throws `integrity` for a row that is not as it was written.
   */
  apply(page: ChangePage, info: NamespaceInfo, columns: Columns): boolean {
    const local = this.namespaces().find(({ name }) => name === page.namespace);
    if (local?.epoch !== info.epoch || local.nsid !== info.nsid) return false;
    if (local.nextJid - 1 !== page.since) return false;
    const written = new Map<SqlValue, SqlValue[]>();
    for (const row of page.entries) {
      const values = entryRow(row, columns.entries, info.nsid);
      written.set(values[AT.jid] as SqlValue, values);
    }
    const journal = page.journal.map((row) => pick(row, columns.journal, JOURNAL_COLUMNS));
    let expected = page.since;
    for (const row of journal) {
      expected += 1;
      if (row[J_JID] !== expected) throw gap(page.namespace, expected, row[J_JID]);
      this.#journal.run(info.nsid, ...row);
      const entry = written.get(expected);
      if (entry !== undefined) this.#upsert.run(...entry);
      else if (row[J_OP] === 'delete') this.#tombstone(info.nsid, row);
    }
    for (const row of page.purges) this.#notePurge(row, columns, info.nsid);
    this.#finish(info, expected);
    return true;
  }

  /** The namespace's rows are about to be replaced: until `endSnapshot` no cursor fits it. */
  beginSnapshot(info: NamespaceInfo): void {
    this.#database
      .prepare(
        `INSERT INTO namespaces (nsid, name, kind, epoch, first_jid, next_jid) VALUES (?, ?, ?, '', 1, 1)
         ON CONFLICT (nsid) DO UPDATE SET epoch = ''`,
      )
      .run(info.nsid, info.name, info.kind);
  }

  /** Replaces every row between two keys by those of a page; absent ends are open. */
  replaceRange(
    info: NamespaceInfo,
    rows: readonly Row[],
    columns: Columns,
    after: readonly [string, string] | undefined,
    to: readonly [string, string] | undefined,
  ): void {
    const lower = after === undefined ? '' : 'AND (key, variant) > (?, ?)';
    const upper = to === undefined ? '' : 'AND (key, variant) <= (?, ?)';
    this.#database
      .prepare(`DELETE FROM entries WHERE nsid = ? ${lower} ${upper}`)
      .run(info.nsid, ...(after ?? []), ...(to ?? []));
    for (const row of rows) this.#upsert.run(...entryRow(row, columns.entries, info.nsid));
  }

  /** Takes away at most `rows` of the rows that a purge takes. True: none is left. */
  takePurged(nsid: number, purge: Row, columns: Columns, rows: number): boolean {
    const values = pick(purge, columns.purges, PURGE_COLUMNS);
    const [kind, value] = [values[P_KIND], String(values[P_VALUE])];
    const operands: SqlValue[] = [nsid, values[P_JID] as SqlValue];
    let where = '';
    if (kind === 'key' || kind === 'rule') where = `AND ${kind} = ?`;
    if (kind === 'prefix') where = 'AND key >= ?';
    if (kind === 'tag') {
      where =
        'AND (key, variant) IN (SELECT key, variant FROM entry_tags WHERE nsid = ? AND tag = ?)';
      operands.push(nsid);
    }
    if (where !== '') operands.push(value);
    const end = kind === 'prefix' ? endOfPrefix(value) : undefined;
    if (end !== undefined) {
      where += ' AND key < ?';
      operands.push(end);
    }
    const { changes } = this.#database
      .prepare(
        `DELETE FROM entries WHERE rowid IN (
           SELECT rowid FROM entries WHERE nsid = ? AND jid < ? AND deleted = 0 ${where} LIMIT ?)`,
      )
      .run(...operands, rows);
    return changes < rows;
  }

  /** From now on the namespace is followed from `jid` on. */
  endSnapshot(info: NamespaceInfo, jid: number, purges: readonly Row[], columns: Columns): void {
    for (const table of ['journal', 'purges'])
      this.#database.prepare(`DELETE FROM ${table} WHERE nsid = ?`).run(info.nsid);
    for (const row of purges) this.#notePurge(row, columns, info.nsid);
    this.#database
      .prepare('UPDATE namespaces SET epoch = ?, first_jid = ? WHERE nsid = ?')
      .run(info.epoch, jid + 1, info.nsid);
    this.#finish(info, jid);
  }

  /** A row of this node alone is damaged: it goes, and the next change of its key brings it back. */
  removeBroken(namespace: string, key: string, variant: string): void {
    this.#database
      .prepare(
        'DELETE FROM entries WHERE nsid = (SELECT nsid FROM namespaces WHERE name = ?) AND key = ? AND variant = ?',
      )
      .run(namespace, key, variant);
  }

  #tombstone(nsid: number, change: readonly SqlValue[]): void {
    const jid = change[J_JID] as number;
    const row = this.#older.get(nsid, change[J_KEY], change[J_VARIANT], jid) as
      | SqlValue[]
      | undefined;
    if (row === undefined) return;
    row[AT.deleted] = 1;
    row[AT.jid] = jid;
    row[AT.request_headers] = TOMBSTONE_HEADERS;
    row[AT.response_headers] = TOMBSTONE_HEADERS;
    const values = row.slice(0, SUMMED);
    this.#upsert.run(...values, rowSum(values));
  }

  #notePurge(row: Row, columns: Columns, nsid: number): void {
    this.#purge.run(nsid, ...pick(row, columns.purges, PURGE_COLUMNS));
  }

  #finish(info: NamespaceInfo, jid: number): void {
    this.#database
      .prepare(
        'UPDATE namespaces SET kind = ?, next_jid = ?, last_purge_jid = ?, purge_floor = ?, last_seen_at = ? WHERE nsid = ?',
      )
      .run(info.kind, jid + 1, info.lastPurgeJid, info.purgeFloor, info.lastSeenAt, info.nsid);
    const count = this.#database.prepare(
      `INSERT INTO counters (nsid, name, value) VALUES (?, ?, ?)
       ON CONFLICT (nsid, name) DO UPDATE SET value = excluded.value`,
    );
    for (const [name, value] of Object.entries(info.counters)) count.run(info.nsid, name, value);
  }
}

/** Values by the columns of this version; columns that the sender has not are NULL. */
function pick(row: Row, from: readonly string[], to: readonly string[]): SqlValue[] {
  return to.map((column) => row[from.indexOf(column)] ?? null);
}

function entryRow(row: Row, from: readonly string[], nsid: number): SqlValue[] {
  const values = pick(row, from, ROW_COLUMNS);
  const isSame = from.length === ROW_COLUMNS.length && values[AT.nsid] === nsid;
  // Its sum covers exactly the sender's columns: of another version only what was read can be summed.
  if (isSame && !isIntact(values)) {
    throw new ProxyError(
      'integrity',
      'replica-statements.row',
      'a row from the primary does not fit its checksum',
    );
  }
  if (!isSame) {
    values[AT.nsid] = nsid;
    values[SUMMED] = rowSum(values.slice(0, SUMMED));
  }
  return values;
}

function gap(namespace: string, expected: number, found: SqlValue | undefined): ProxyError {
  return new ProxyError(
    'integrity',
    'replica-statements.apply',
    `the primary's journal of ${namespace} has ${String(found)} where ${expected} must be`,
  );
}

function marks(count: number): string {
  return Array.from({ length: count }, () => '?').join(', ');
}
