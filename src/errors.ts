/**
 * What went wrong, in caje's own words. Only `src/http` knows which status each kind becomes.
 * `aborted` means the caller went away; `integrity` means bytes did not match their digest or length.
 */
export type ErrorKind =
  | 'invalid'
  | 'unauthorized'
  | 'forbidden'
  | 'not-found'
  | 'gone'
  | 'conflict'
  | 'range'
  | 'too-large'
  | 'misdirected'
  | 'unprocessable'
  | 'rate-limited'
  | 'unsupported'
  | 'upstream'
  | 'timeout'
  | 'unavailable'
  | 'loop'
  | 'integrity'
  | 'aborted'
  | 'internal';

/** What may be said of an error beside its kind and message. */
export interface ProxyErrorOptions {
  readonly cause?: unknown;
  /** Seconds after which trying again makes sense. Absent: nothing is promised. */
  readonly retryAfter?: number | undefined;
}

/** A failure with a kind. `op` names where it arose as `file.verb`, such as `disk-backend.put`. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly kind: ErrorKind;
  readonly op: string;
  readonly retryAfter: number | undefined;

  constructor(kind: ErrorKind, op: string, message: string, options: ProxyErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.op = op;
    this.retryAfter = options.retryAfter;
  }
}

/** The kind of anything thrown: a `ProxyError`'s own, `aborted` or `timeout` for a signal's reason, the cause's, else `internal`. */
export function kindOf(error: unknown): ErrorKind {
  if (error instanceof ProxyError) return error.kind;
  if (!(error instanceof Error)) return 'internal';
  if (error.name === 'AbortError') return 'aborted';
  if (error.name === 'TimeoutError') return 'timeout';
  return error.cause === undefined ? 'internal' : kindOf(error.cause);
}

/** The operating system's code of an error (`ENOSPC`), its own or its cause's. Absent: it has none. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? code : codeOf(error.cause);
}

/** One line for a person: the message, never a stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
