import type { SqliteDatabase } from '../sqlite/open-database.ts';
import { AT, endOfPrefix, ROW_COLUMNS, type RowColumn, type SqlValue } from './entry-row.ts';

/** A place among the rows of a namespace by key. */
export type KeyPosition = readonly [key: string, variant: string];

/** A place among them by when they were first seen; milliseconds since the epoch. */
export type SeenPosition = readonly [at: number, key: string, variant: string];

/** Rows in an order. */
export interface RowPage<Position> {
  readonly rows: readonly SqlValue[][];
  /** To go on after, whether rows were found or not. Absent: nothing is left. */
  readonly next?: Position | undefined;
}

/** What is read: rows of one namespace whose key ends with `suffix` ('' for all), `limit` at most. */
export interface RowQuery {
  readonly nsid: number;
  readonly suffix: string;
  readonly limit: number;
}

/** Rows that one read may step over for want of the suffix: some milliseconds. */
const STEP_ROWS = 10_000;

interface Condition {
  readonly sql: string;
  readonly values: readonly SqlValue[];
}

const NO_TOMBSTONES: Condition = { sql: 'deleted = 0', values: [] };
/** Word for word what the index `entries_by_first_seen` holds, else it is not used. */
const SEEN: Condition = { sql: 'h1 IS NOT NULL AND deleted = 0', values: [] };

/** Live rows whose key begins with `prefix`, in order of key and variant, after a position. */
export function rowsByKey(
  database: SqliteDatabase,
  query: RowQuery,
  prefix: string,
  after: KeyPosition | undefined,
): RowPage<KeyPosition> {
  const order = ['key', 'variant'] as const;
  const end = endOfPrefix(prefix);
  const lower: Condition[] = [];
  // Given both, SQLite begins at the prefix and steps over all that earlier pages had.
  if (!after?.[0].startsWith(prefix)) lower.push({ sql: 'key >= ?', values: [prefix] });
  if (after !== undefined) lower.push(compared(order, '>', after));
  return readRows(database, query, {
    order,
    lower,
    upper: end === undefined ? [] : [{ sql: 'key < ?', values: [end] }],
    indexed: [],
    read: [NO_TOMBSTONES],
  }) as RowPage<KeyPosition>;
}

/** Live rows with an h1 in order of when they were first seen, key and variant: from `since` on, after a position. */
export function rowsBySeen(
  database: SqliteDatabase,
  query: RowQuery,
  since: number,
  after: SeenPosition | undefined,
): RowPage<SeenPosition> {
  const order = ['first_seen_at', 'key', 'variant'] as const;
  const goesOn = after !== undefined && after[0] >= since;
  return readRows(database, query, {
    order,
    lower: [goesOn ? compared(order, '>', after) : compared(order, '>=', [since, '', ''])],
    upper: [],
    indexed: [SEEN],
    read: [],
  }) as RowPage<SeenPosition>;
}

interface Plan {
  readonly order: readonly RowColumn[];
  readonly lower: readonly Condition[];
  readonly upper: readonly Condition[];
  /** What makes the index fit. */
  readonly indexed: readonly Condition[];
  /** What only the row itself tells. */
  readonly read: readonly Condition[];
}

function readRows(
  database: SqliteDatabase,
  { nsid, suffix, limit }: RowQuery,
  { order, lower, upper, indexed, read }: Plan,
): RowPage<readonly SqlValue[]> {
  const start = [{ sql: 'nsid = ?', values: [nsid] }, ...indexed, ...lower];
  const columns = order.join(', ');
  let end: SqlValue[] | undefined;
  const ending: Condition[] = [];
  if (suffix !== '') {
    const range = [...start, ...upper];
    end = database
      .prepare(
        `SELECT ${columns} FROM entries WHERE ${sqlOf(range)} ORDER BY ${columns} LIMIT 1 OFFSET ${STEP_ROWS - 1}`,
      )
      .raw()
      .get(...valuesOf(range)) as SqlValue[] | undefined;
    ending.push({ sql: 'substr(key, ?) = ?', values: [-[...suffix].length, suffix] });
  }
  const last = end === undefined ? upper : [compared(order, '<=', end)];
  const wanted = [...start, ...last, ...ending, ...read];
  const rows = database
    .prepare(
      `SELECT ${ROW_COLUMNS.join(', ')} FROM entries WHERE ${sqlOf(wanted)} ORDER BY ${columns} LIMIT ?`,
    )
    .raw()
    .all(...valuesOf(wanted), limit) as SqlValue[][];
  const full = rows.length === limit ? rows.at(-1) : undefined;
  return { rows, next: full ? order.map((column) => full[AT[column]] ?? null) : end };
}

function compared(
  order: readonly RowColumn[],
  operator: '>' | '>=' | '<=',
  values: readonly SqlValue[],
): Condition {
  return {
    sql: `(${order.join(', ')}) ${operator} (${order.map(() => '?').join(', ')})`,
    values,
  };
}

function sqlOf(conditions: readonly Condition[]): string {
  return conditions.map(({ sql }) => sql).join(' AND ');
}

function valuesOf(conditions: readonly Condition[]): SqlValue[] {
  return conditions.flatMap(({ values }) => values);
}
