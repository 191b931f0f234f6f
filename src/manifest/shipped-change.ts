import { ProxyError } from '../errors.ts';
import { PUT_COLUMNS, type SqlValue } from './entry-row.ts';
import type { ChangeRequest } from './writer-protocol.ts';

type PutColumn = (typeof PUT_COLUMNS)[number];

const NUMBERS: ReadonlySet<PutColumn> = new Set([
  'status',
  'size',
  'stored_at',
  'fresh_until',
  'stale_at',
]);
const JSON_TEXTS: ReadonlySet<PutColumn> = new Set([
  'vary',
  'request_headers',
  'response_headers',
  'policy',
]);
const DIGEST = /^[0-9a-f]{64}$/;

/** A change of another node by the columns of this version. Throws `invalid` for values that no row may have. */
export function toChange(change: ChangeRequest, columns: readonly string[]): ChangeRequest {
  if (change.op === 'delete') return change;
  const values = PUT_COLUMNS.map((column): SqlValue => {
    const value = change.values[columns.indexOf(column)] ?? null;
    if (!isFit(column, value)) {
      throw new ProxyError(
        'invalid',
        'shipped-change.read',
        `change ${change.changeId.slice(0, 80)} has no ${column} that can be kept`,
      );
    }
    return value;
  });
  return { ...change, values };
}

function isFit(column: PutColumn, value: SqlValue): boolean {
  if (column === 'h1') return value === null || typeof value === 'string';
  if (NUMBERS.has(column)) return Number.isSafeInteger(value);
  if (typeof value !== 'string') return false;
  if (column === 'digest') return DIGEST.test(value);
  return !JSON_TEXTS.has(column) || isJson(value);
}

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object';
  } catch {
    return false;
  }
}
