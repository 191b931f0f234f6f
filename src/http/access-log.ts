import type { IncomingMessage, ServerResponse } from 'node:http';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { exchangeOf } from './exchange.ts';

/** Longest text of a request that is repeated in a line, in characters. */
const MAX_TEXT = 2048;
/** Names of query parameters whose values are credentials. */
const SECRET =
  /token|secret|passw|passphrase|signature|credential|session|api[-_]?key|access[-_]?key|^(?:auth|key|sig|sid|code|jwt)$/i;
// JSON escapes C0 controls itself; these would still reach a terminal: DEL, C1, line separators, direction marks.
const UNSAFE = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A URL fit for a log: values of secret-looking parameters and user information are masked, odd characters escaped, length bounded. */
export function loggableUrl(url: string): string {
  const query = url.indexOf('?');
  const head = (query < 0 ? url : url.slice(0, query)).replace(/^(\w+:)?\/\/[^/@]*@/, '$1//***@');
  const whole =
    query < 0
      ? head
      : `${head}?${url
          .slice(query + 1)
          .split('&')
          .map(maskPair)
          .join('&')}`;
  return loggableText(whole);
}

/** Text of a stranger, fit for a log line and a terminal. */
export function loggableText(text: string): string {
  const safe = text.replace(
    UNSAFE,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return safe.length > MAX_TEXT ? `${safe.slice(0, MAX_TEXT)}…` : safe;
}

function maskPair(pair: string): string {
  const equals = pair.indexOf('=');
  if (equals < 0) return pair;
  const name = pair.slice(0, equals);
  return SECRET.test(decoded(name)) ? `${name}=***` : pair;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Writes one line per answered request; an own 5xx is a warning. */
export class AccessLog {
  readonly #log: Logger;
  readonly #every: boolean;

  /** `every` false: only answers that the node failed itself. */
  constructor(log: Logger, every: boolean) {
    this.#log = log;
    this.#every = every;
  }

  /** Called once per answer, when it is out or its connection is gone; `ms` since the request came in. */
  record(req: IncomingMessage, res: ServerResponse, ms: number, remote: string | undefined): void {
    const exchange = exchangeOf(res);
    const kind = exchange.error === undefined ? undefined : kindOf(exchange.error);
    const gone = !res.writableFinished;
    const failed =
      kind !== undefined &&
      kind !== 'aborted' &&
      (res.statusCode >= 500 || (gone && res.headersSent));
    if (!this.#every && !failed) return;
    const fields = {
      requestId: exchange.requestId,
      method: req.method,
      host: req.headers.host === undefined ? undefined : loggableText(req.headers.host),
      url: loggableUrl(req.url ?? ''),
      status: gone && !res.headersSent ? 499 : res.statusCode,
      bytes: exchange.bytes ?? 0,
      ms: Math.round(ms * 10) / 10,
      cache: exchange.phase,
      rule: exchange.rule,
      peer: exchange.peer,
      remote,
      ...(gone && { cut: true }),
      ...(exchange.error !== undefined && errorFields(exchange.error)),
    };
    if (failed) this.#log.warn(fields, 'request failed');
    else this.#log.info(fields, 'request');
  }
}

function errorFields(error: unknown): object {
  const cause =
    error instanceof Error && error.cause !== undefined
      ? loggableText(messageOf(error.cause))
      : undefined;
  return {
    error: kindOf(error),
    op: error instanceof ProxyError ? error.op : undefined,
    detail: loggableText(messageOf(error)),
    cause,
    // Only a failure without a name of ours needs its place in the code.
    stack: error instanceof Error && kindOf(error) === 'internal' ? error.stack : undefined,
  };
}
