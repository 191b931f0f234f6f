import { ProxyError } from '../errors.ts';
import type { SqliteDatabase } from '../sqlite/open-database.ts';
import { ROW_COLUMNS } from './entry-row.ts';
import type { ChangePage, Columns, NamespaceInfo, Row } from './primary-protocol.ts';
import { PAGE_ROWS } from './primary-protocol.ts';

/** Columns of a journal row on the wire, in this order. */
export const JOURNAL_COLUMNS = [
  'jid',
  'key',
  'variant',
  'op',
  'digest',
  'size',
  'base_jid',
  'change_id',
  'actor',
  'at',
] as const;

/** Columns of a purge on the wire, in this order. */
export const PURGE_COLUMNS = ['jid', 'kind', 'value', 'soft', 'at'] as const;

/** What this node sends. */
export const COLUMNS: Columns = {
  entries: ROW_COLUMNS,
  journal: JOURNAL_COLUMNS,
  purges: PURGE_COLUMNS,
};

const ENTRIES = ROW_COLUMNS.join(', ');
const JOURNAL = JOURNAL_COLUMNS.join(', ');
const PURGES = PURGE_COLUMNS.join(', ');

/** Where a follower stands: `gone` when its cursor is of another epoch or older than what is kept. */
export function positionOf(info: NamespaceInfo, cursor: string): number | 'gone' {
  const [, epoch, digits] = /^([0-9a-f]*):(\d{1,15})$/.exec(cursor) ?? [];
  const jid = Number(digits);
  if (epoch !== info.epoch || jid < info.firstJid - 1 || jid >= info.nextJid) return 'gone';
  return jid;
}

/** What followers are told of each namespace. */
export function namespaceInfos(database: SqliteDatabase): NamespaceInfo[] {
  const counters = new Map<number, Record<string, number>>();
  for (const [nsid, name, value] of database
    .prepare('SELECT nsid, name, value FROM counters')
    .raw()
    .iterate() as IterableIterator<[number, string, number]>) {
    const known = counters.get(nsid) ?? {};
    known[name] = value;
    counters.set(nsid, known);
  }
  // A namespace whose own snapshot is not whole is none to copy from.
  const rows = database
    .prepare(
      `SELECT name, nsid, kind, epoch, first_jid AS firstJid, next_jid AS nextJid,
         last_purge_jid AS lastPurgeJid, purge_floor AS purgeFloor, last_seen_at AS lastSeenAt
       FROM namespaces WHERE epoch <> '' ORDER BY name`,
    )
    .all() as Omit<NamespaceInfo, 'counters'>[];
  return rows.map((row) => ({ ...row, counters: counters.get(row.nsid) ?? {} }));
}

/** Changes of a namespace after a number, 500 at most, with the rows that they wrote. */
export function changePage(
  database: SqliteDatabase,
  { nsid, name }: NamespaceInfo,
  since: number,
): ChangePage {
  const journal = database
    .prepare(`SELECT ${JOURNAL} FROM journal WHERE nsid = ? AND jid > ? ORDER BY jid LIMIT ?`)
    .raw()
    .all(nsid, since, PAGE_ROWS) as Row[];
  const to = (journal.at(-1)?.[0] as number | undefined) ?? since;
  // By key, which has an index; a row that a later change wrote comes with that change.
  const entries = database
    .prepare(
      `SELECT ${ENTRIES.replaceAll(/\b(\w+)\b/g, 'e.$1')} FROM journal j
       JOIN entries e ON e.nsid = j.nsid AND e.key = j.key AND e.variant = j.variant AND e.jid = j.jid
       WHERE j.nsid = ? AND j.jid > ? AND j.jid <= ?`,
    )
    .raw()
    .all(nsid, since, to) as Row[];
  return {
    namespace: name,
    since,
    to,
    journal,
    entries,
    purges: purgesAfter(database, nsid, since, to),
  };
}

/** Purges of a namespace with numbers after `since` and up to `to`. */
export function purgesAfter(
  database: SqliteDatabase,
  nsid: number,
  since: number,
  to: number = Number.MAX_SAFE_INTEGER,
): Row[] {
  return database
    .prepare(`SELECT ${PURGES} FROM purges WHERE nsid = ? AND jid > ? AND jid <= ? ORDER BY jid`)
    .raw()
    .all(nsid, since, to) as Row[];
}

/** Rows of a namespace in order of key and variant, tombstones too, none newer than `upTo`; one more than a page. */
export function snapshotRows(
  database: SqliteDatabase,
  nsid: number,
  upTo: number,
  after: readonly [string, string] | undefined,
): Row[] {
  const where = after === undefined ? '' : 'AND (key, variant) > (?, ?)';
  return database
    .prepare(
      `SELECT ${ENTRIES} FROM entries WHERE nsid = ? ${where} AND jid <= ? ORDER BY key, variant LIMIT ?`,
    )
    .raw()
    .all(nsid, ...(after ?? []), upTo, PAGE_ROWS + 1) as Row[];
}

/** A namespace by name. Throws `gone` where there is none. */
export function infoOf(infos: readonly NamespaceInfo[], name: string): NamespaceInfo {
  const found = infos.find((info) => info.name === name);
  if (found !== undefined) return found;
  throw new ProxyError('gone', 'primary-feed.namespace', `there is no namespace ${name}`);
}
