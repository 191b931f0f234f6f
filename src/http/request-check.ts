import type { IncomingMessage } from 'node:http';
import type { HttpLimits } from './http-limits.ts';
import type { ProblemAnswer } from './problem.ts';

/** Why a request is refused before any rule is asked. */
export type RefusalReason =
  | 'malformed'
  | 'host'
  | 'target'
  | 'target-too-long'
  | 'version'
  | 'framing'
  | 'body'
  | 'fields'
  | 'upgrade'
  | 'method'
  | 'expectation'
  | 'request-timeout'
  | 'too-large'
  | 'connections';

const STATUSES: Readonly<Record<RefusalReason, number>> = {
  malformed: 400,
  host: 400,
  target: 400,
  'target-too-long': 414,
  version: 505,
  framing: 400,
  body: 400,
  fields: 431,
  upgrade: 501,
  method: 405,
  expectation: 417,
  'request-timeout': 408,
  'too-large': 413,
  connections: 503,
};

/** A request that is answered without looking at any rule. */
export interface Refusal {
  readonly reason: RefusalReason;
  readonly detail: string;
}

/** The error answer of a refusal. */
export function problemOfRefusal({ reason, detail }: Refusal): ProblemAnswer {
  const busy = reason === 'connections';
  return {
    status: STATUSES[reason],
    code: reason,
    detail,
    retryable: busy || reason === 'request-timeout',
    retryAfter: busy ? 1 : undefined,
    phase: 'bypass',
  };
}

/** RFC 3986 §3.2.2 reg-name and IPv4, or an IP literal, and a port (RFC 9112 §3.2); nothing percent-encoded is a name. */
const AUTHORITY = /^(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i;
const ABSOLUTE = /^https?:\/\/([^/?#]*)/i;

/**
 * The checks that node:http leaves open (its parser has refused control characters, folded lines, bad lengths and
 * bad chunks by now). Absent: nothing speaks against the request. Ambiguity is refused, never repaired (RFC 9112 §11).
 */
export function checkRequest(req: IncomingMessage, limits: HttpLimits): Refusal | undefined {
  const { rawHeaders, method } = req;
  const url = req.url ?? '';
  if (req.httpVersionMajor !== 1)
    return { reason: 'version', detail: 'Only HTTP/1.0 and HTTP/1.1 are spoken here.' };
  if (rawHeaders.length > limits.headerFields * 2)
    return { reason: 'fields', detail: `More than ${limits.headerFields} fields.` };
  if (url.length > limits.targetBytes)
    return {
      reason: 'target-too-long',
      detail: `The request target is longer than ${limits.targetBytes} bytes.`,
    };

  let host: string | undefined;
  let coding: string | undefined;
  let length = '';
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    // The length tells most names apart without making a lower-case copy of each.
    if (name.length === 4 && name.toLowerCase() === 'host') {
      if (host !== undefined) return { reason: 'host', detail: 'More than one Host field.' };
      host = rawHeaders[i + 1] ?? '';
    } else if (name.length === 14 && name.toLowerCase() === 'content-length')
      length = rawHeaders[i + 1] ?? '';
    else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding')
      // Several lines are one list (RFC 9110 §5.3), which is more than chunked.
      coding = coding === undefined ? (rawHeaders[i + 1] ?? '') : `${coding}, ${rawHeaders[i + 1]}`;
    else if (
      name.length === 7 &&
      name.toLowerCase() === 'upgrade' &&
      !isH2c(rawHeaders[i + 1] ?? '')
    )
      return { reason: 'upgrade', detail: 'This node does not change protocols.' };
  }
  if (host === undefined || !AUTHORITY.test(host))
    return {
      reason: 'host',
      detail:
        host === undefined
          ? 'The Host field is missing.'
          : 'The Host field is not a host and port.',
    };
  return (
    checkTarget(url) ??
    checkMethod(method ?? '', url) ??
    checkBody(req, method ?? '', coding, length)
  );
}

function checkTarget(url: string): Refusal | undefined {
  if (url.includes('#')) return { reason: 'target', detail: 'A request target has no fragment.' };
  if (url.startsWith('/') || url === '*') return undefined;
  const authority = ABSOLUTE.exec(url)?.[1];
  if (authority === undefined || !AUTHORITY.test(authority))
    return { reason: 'target', detail: 'The request target is neither a path nor an http URL.' };
  return undefined;
}

function checkMethod(method: string, url: string): Refusal | undefined {
  if (method === 'TRACE' || method === 'CONNECT')
    return { reason: 'method', detail: `${method} is not offered.` };
  if (url === '*') return { reason: 'method', detail: `${method} of * is not offered.` };
  return undefined;
}

function checkBody(
  req: IncomingMessage,
  method: string,
  coding: string | undefined,
  length: string,
): Refusal | undefined {
  if (coding !== undefined) {
    if (req.httpVersionMinor === 0)
      return { reason: 'framing', detail: 'HTTP/1.0 has no Transfer-Encoding.' };
    if (length !== '')
      return { reason: 'framing', detail: 'Both Content-Length and Transfer-Encoding.' };
    if (coding.trim().toLowerCase() !== 'chunked')
      return { reason: 'framing', detail: 'The only Transfer-Encoding taken is chunked.' };
  }
  // Forwarded, the body could be read as a second request by what comes behind.
  if (
    (method === 'GET' || method === 'HEAD') &&
    (coding !== undefined || (length !== '' && Number(length) !== 0))
  )
    return { reason: 'body', detail: `${method} has no body here.` };
  return undefined;
}

/** Offers of HTTP/2 that some clients make with every first request; HTTP/1.1 goes on if they are passed over (RFC 9110 §7.8). */
function isH2c(upgrade: string): boolean {
  return upgrade.trim().toLowerCase() === 'h2c';
}
