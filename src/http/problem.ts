import type { ServerResponse } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { ErrorKind } from '../errors.ts';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type { CachePhase } from '../protocol/protocol.ts';
import { statusOfCache, X_CACHE } from './cache-status.ts';
import { dropKeepAliveFields } from './connection-fields.ts';

/** How one kind of failure looks on the wire. */
export interface Problem {
  readonly status: number;
  /** True: the same request may succeed later. */
  readonly retryable: boolean;
  /** Seconds for Retry-After where the error names none. Absent: the field is left out. */
  readonly retryAfter?: number | undefined;
  /** What Cache-Status says of it: `miss` where the request went forward and failed there. */
  readonly phase: CachePhase;
  /** True: it can only have happened upstream. */
  readonly forwarded?: boolean | undefined;
}

/** Status of every kind of failure. 499 is only logged: its client is gone. */
export const PROBLEMS: Readonly<Record<ErrorKind, Problem>> = {
  invalid: { status: 400, retryable: false, phase: 'bypass' },
  unauthorized: { status: 401, retryable: false, phase: 'bypass' },
  forbidden: { status: 403, retryable: false, phase: 'bypass' },
  'not-found': { status: 404, retryable: false, phase: 'bypass' },
  gone: { status: 410, retryable: false, phase: 'bypass' },
  conflict: { status: 409, retryable: false, phase: 'bypass' },
  range: { status: 416, retryable: false, phase: 'bypass' },
  'too-large': { status: 413, retryable: false, phase: 'bypass' },
  misdirected: { status: 421, retryable: false, phase: 'bypass' },
  unprocessable: { status: 422, retryable: false, phase: 'bypass' },
  'rate-limited': { status: 429, retryable: true, retryAfter: 1, phase: 'bypass' },
  unsupported: { status: 501, retryable: false, phase: 'bypass' },
  upstream: { status: 502, retryable: true, phase: 'miss', forwarded: true },
  timeout: { status: 504, retryable: true, phase: 'miss' },
  unavailable: { status: 503, retryable: true, retryAfter: 1, phase: 'bypass' },
  loop: { status: 508, retryable: false, phase: 'bypass' },
  integrity: { status: 502, retryable: true, phase: 'miss', forwarded: true },
  aborted: { status: 499, retryable: false, phase: 'bypass' },
  internal: { status: 500, retryable: false, phase: 'bypass' },
};

/** `json`: problem+json (RFC 9457); `text`: one line, for clients that show a body to a person as it is. */
export type ErrorFormat = 'json' | 'text';

/** An error answer, ready to be written. */
export interface ProblemAnswer {
  readonly status: number;
  /** Stable word for programs: an `ErrorKind`, or the reason of a refusal. */
  readonly code: string;
  readonly detail: string;
  readonly retryable: boolean;
  /** Seconds. Absent: no Retry-After. */
  readonly retryAfter?: number | undefined;
  readonly phase: CachePhase;
  readonly forwarded?: boolean | undefined;
}

/** What the answer to anything thrown says. The message of an `internal` failure stays in the log. */
export function problemOf(error: unknown): ProblemAnswer {
  const kind = kindOf(error);
  const { status, retryable, retryAfter, phase, forwarded } = PROBLEMS[kind];
  return {
    status,
    code: kind,
    detail:
      kind === 'internal'
        ? 'The node failed; its log has more under the request id.'
        : detailOf(error),
    retryable,
    retryAfter: (error instanceof ProxyError ? error.retryAfter : undefined) ?? retryAfter,
    phase,
    forwarded,
  };
}

// A foreign error that only carries a ProxyError as its cause may name paths and hosts: the cause is what was meant for clients.
function detailOf(error: unknown): string {
  let current = error;
  while (
    current instanceof Error &&
    !(current instanceof ProxyError) &&
    current.cause !== undefined
  )
    current = current.cause;
  return current instanceof ProxyError ? messageOf(current) : 'The request was given up.';
}

/** Fields and body of an error answer; `extra` fields come first. */
export function renderProblem(
  problem: ProblemAnswer,
  requestId: string,
  format: ErrorFormat = 'json',
  extra: readonly (readonly [string, string])[] = [],
): { readonly headers: string[]; readonly body: Buffer } {
  const { status, code, detail, retryable, retryAfter, phase, forwarded } = problem;
  const title = STATUS_CODES[status] ?? 'Error';
  const text =
    format === 'text'
      ? `${detail}\n`
      : `${JSON.stringify({ type: 'about:blank', title, status, detail, code, retryable, requestId })}\n`;
  const body = Buffer.from(text);
  const headers = [
    ...extra.flat(),
    'Content-Type',
    format === 'text' ? 'text/plain; charset=utf-8' : 'application/problem+json',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    'X-Content-Type-Options',
    'nosniff',
    'X-Request-Id',
    requestId,
    'Cache-Status',
    statusOfCache({ phase, forward: forwarded === true ? 'miss' : undefined, detail: code }, true),
    'X-Cache',
    X_CACHE[phase],
  ];
  if (retryAfter !== undefined) headers.push('Retry-After', String(Math.ceil(retryAfter)));
  return { headers, body };
}

/** Writes an error answer; where fields went out already the connection is cut instead. Gives the bytes of its body. */
export function sendProblem(
  res: ServerResponse,
  problem: ProblemAnswer,
  requestId: string,
  format: ErrorFormat = 'json',
  extra: readonly (readonly [string, string])[] = [],
): number {
  if (res.headersSent || res.destroyed) {
    res.destroy();
    return 0;
  }
  const { headers, body } = renderProblem(problem, requestId, format, extra);
  dropKeepAliveFields(res);
  res.writeHead(problem.status, headers);
  res.end(body);
  return res.req.method === 'HEAD' ? 0 : body.length;
}
