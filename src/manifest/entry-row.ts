import { crc32 } from 'node:zlib';
import { HeaderList } from '../headers.ts';
import type { Entry, EntryPolicy, Jid, NewEntry } from './entry.ts';

/** A value as SQLite keeps it. */
export type SqlValue = string | number | null;

/** Columns that a put brings along, in the order of `toRowValues`. */
export const PUT_COLUMNS = [
  'key',
  'variant',
  'rule',
  'method',
  'url',
  'public_host',
  'vary',
  'request_headers',
  'status',
  'response_headers',
  'policy',
  'digest',
  'size',
  'h1',
  'source',
  'stored_at',
  'fresh_until',
  'stale_at',
] as const;

/** A column of `entries`, `updated_at` aside. */
export type RowColumn =
  | (typeof PUT_COLUMNS)[number]
  | 'nsid'
  | 'first_seen_at'
  | 'jid'
  | 'deleted'
  | 'row_sum';

/** Every column that `row_sum` covers, in the order in which it does, and at the end `row_sum` itself. */
export const ROW_COLUMNS: readonly RowColumn[] = [
  'nsid',
  ...PUT_COLUMNS,
  'first_seen_at',
  'jid',
  'deleted',
  'row_sum',
];

/** Places of columns in a row read by `ROW_COLUMNS`. */
export const AT: Readonly<Record<RowColumn, number>> = Object.fromEntries(
  ROW_COLUMNS.map((column, index) => [column, index]),
) as Record<RowColumn, number>;

const SUM_AT = ROW_COLUMNS.length - 1;
const SEPARATOR = '\u001f';

/** What of an entry is sent to the writer: values of `PUT_COLUMNS`. */
export function toRowValues(entry: NewEntry, storedAt: number): SqlValue[] {
  return [
    entry.key,
    entry.variant,
    entry.rule,
    entry.method,
    entry.url,
    entry.publicHost,
    JSON.stringify(entry.vary),
    JSON.stringify(entry.requestHeaders.toRaw()),
    entry.status,
    JSON.stringify(entry.headers.toRaw()),
    JSON.stringify(entry.policy),
    entry.digest,
    entry.size,
    entry.h1 ?? null,
    entry.source,
    storedAt,
    entry.freshUntil,
    entry.staleAt,
  ];
}

/** Checksum (CRC-32) of a row's values by `ROW_COLUMNS` without the last: shows bits that flipped on the disk. */
export function rowSum(values: readonly SqlValue[]): number {
  return crc32(values.join(SEPARATOR));
}

/** Whether a row read by `ROW_COLUMNS` is as it was written. */
export function isIntact(row: readonly SqlValue[]): boolean {
  return rowSum(row.slice(0, SUM_AT)) === row[SUM_AT];
}

/** The entry of an intact row. */
export function toEntry(namespace: string, row: readonly SqlValue[]): Entry {
  const text = (column: RowColumn): string => row[AT[column]] as string;
  const number = (column: RowColumn): number => row[AT[column]] as number;
  const h1 = row[AT.h1];
  return {
    namespace,
    key: text('key'),
    variant: text('variant'),
    rule: text('rule'),
    method: text('method'),
    url: text('url'),
    publicHost: text('public_host'),
    vary: JSON.parse(text('vary')) as string[],
    requestHeaders: HeaderList.fromRaw(JSON.parse(text('request_headers')) as string[]),
    status: number('status'),
    headers: HeaderList.fromRaw(JSON.parse(text('response_headers')) as string[]),
    policy: JSON.parse(text('policy')) as EntryPolicy,
    digest: text('digest'),
    size: number('size'),
    ...(typeof h1 === 'string' && { h1 }),
    source: text('source'),
    firstSeenAt: number('first_seen_at'),
    storedAt: number('stored_at'),
    freshUntil: number('fresh_until'),
    staleAt: number('stale_at'),
    jid: number('jid'),
  };
}

/** An entry as it counts before it is written. */
export function pendingEntry(
  entry: NewEntry,
  storedAt: number,
  firstSeenAt: number = storedAt,
  jid: Jid = 0,
): Entry {
  return { ...entry, firstSeenAt, storedAt, jid };
}

/** First string after all that begin with `prefix`, by SQLite's byte order; absent: there is none. */
export function endOfPrefix(prefix: string): string | undefined {
  const points = [...prefix];
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const point = last.codePointAt(0) ?? 0;
    // Surrogates cannot be stored as UTF-8, and nothing follows the last code point.
    const next = point === 0xd7ff ? 0xe000 : point + 1;
    if (next <= 0x10ffff) return points.join('') + String.fromCodePoint(next);
  }
  return undefined;
}
