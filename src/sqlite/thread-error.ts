import { type ErrorKind, ProxyError } from '../errors.ts';

/** An error as it passes between threads: structured cloning alone would lose code and kind. */
export interface ErrorRecord {
  readonly name: string;
  readonly message: string;
  readonly code?: string | undefined;
  readonly kind?: ErrorKind | undefined;
  readonly op?: string | undefined;
}

/** What of an error is sent to the other thread. */
export function toErrorRecord(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { code } = error as { code?: unknown };
  const record = { name: error.name, message: error.message };
  if (error instanceof ProxyError) return { ...record, kind: error.kind, op: error.op };
  return typeof code === 'string' ? { ...record, code } : record;
}

/** The error again: a `ProxyError` if it was one, else an `Error` with the same name and `code`. */
export function fromErrorRecord(record: ErrorRecord): Error {
  if (record.kind !== undefined)
    return new ProxyError(record.kind, record.op ?? '', record.message);
  const error: Error & { code?: string } = new Error(record.message);
  error.name = record.name;
  if (record.code !== undefined) error.code = record.code;
  return error;
}
