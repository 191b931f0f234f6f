import type { SqliteDatabase } from '../sqlite/open-database.ts';
import type { Jid } from './entry.ts';
import { endOfPrefix, ROW_COLUMNS, type SqlValue } from './entry-row.ts';
import type { Purge } from './manifest.ts';
import type { PurgeProgress } from './purge-progress.ts';

/** Which rows of a namespace a purge takes next. */
export interface PurgeQuery {
  readonly nsid: number;
  /** Number of the purge: what was written after it stays. */
  readonly before: Jid;
  readonly purge: Pick<Purge, 'kind' | 'value'>;
  /** Key and variant of the last row that was taken; '' twice at the beginning. */
  readonly after: PurgeProgress['after'];
  readonly limit: number;
}

/** Rows by `ROW_COLUMNS`, in order of key and variant; tombstones left out. */
export function rowsToPurge(database: SqliteDatabase, query: PurgeQuery): SqlValue[][] {
  const { nsid, before, purge, after, limit } = query;
  const { kind, value } = purge;
  const place = kind === 'tag' ? 't' : 'e';
  const conditions = [`${place}.nsid = ?`, 'e.deleted = 0', 'e.jid < ?'];
  const values: SqlValue[] = [nsid, before];
  const where = (condition: string, ...operands: readonly SqlValue[]): void => {
    conditions.push(condition);
    values.push(...operands);
  };
  if (kind === 'key') where('e.key = ?', value);
  if (kind === 'rule') where('e.rule = ?', value);
  if (kind === 'tag') where('t.tag = ?', value);
  // A key may be '': the first page then begins before it.
  const isFirst = after[0] === '' && after[1] === '';
  if (!isFirst) where(`(${place}.key, ${place}.variant) > (?, ?)`, ...after);
  if (kind === 'prefix') {
    // Given both, SQLite begins at the prefix and steps over all that was taken before.
    if (isFirst) where('e.key >= ?', value);
    const end = endOfPrefix(value);
    if (end !== undefined) where('e.key < ?', end);
  }
  // Not left to the planner, which knows nothing of how many entries have a tag.
  const tagged =
    'entry_tags t CROSS JOIN entries e ON e.nsid = t.nsid AND e.key = t.key AND e.variant = t.variant';
  return database
    .prepare(
      `SELECT ${ROW_COLUMNS.map((column) => `e.${column}`).join(', ')}
       FROM ${kind === 'tag' ? tagged : 'entries e'} WHERE ${conditions.join(' AND ')}
       ORDER BY ${place}.key, ${place}.variant LIMIT ?`,
    )
    .raw()
    .all(...values, limit) as SqlValue[][];
}
