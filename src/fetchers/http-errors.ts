import { codeOf, type ErrorKind, kindOf, messageOf, ProxyError } from '../errors.ts';
import { NoAnswerError } from './no-answer-error.ts';

const OP = 'http-client.send';

interface Meaning {
  readonly kind: ErrorKind;
  readonly says: string;
  /** True: asking once more may help where nothing of an answer had come. */
  readonly connection?: true;
}

const MEANINGS: Readonly<Record<string, Meaning>> = {
  ECONNREFUSED: { kind: 'upstream', says: 'connection refused', connection: true },
  ECONNRESET: { kind: 'upstream', says: 'connection reset', connection: true },
  EPIPE: { kind: 'upstream', says: 'connection closed while sending', connection: true },
  UND_ERR_SOCKET: { kind: 'upstream', says: 'connection closed', connection: true },
  EHOSTUNREACH: { kind: 'upstream', says: 'host unreachable', connection: true },
  ENETUNREACH: { kind: 'upstream', says: 'network unreachable', connection: true },
  EAI_AGAIN: { kind: 'upstream', says: 'name look-up failed for now', connection: true },
  ENOTFOUND: { kind: 'upstream', says: 'no such host' },
  ETIMEDOUT: { kind: 'timeout', says: 'the connection timed out' },
  UND_ERR_CONNECT_TIMEOUT: { kind: 'timeout', says: 'no connection within the time limit' },
  UND_ERR_HEADERS_TIMEOUT: { kind: 'timeout', says: 'no answer within the time limit' },
  UND_ERR_BODY_TIMEOUT: { kind: 'timeout', says: 'the body stood still for too long' },
  UND_ERR_HEADERS_OVERFLOW: { kind: 'upstream', says: 'the header section is too large' },
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: {
    kind: 'upstream',
    says: 'the body is not as long as announced',
  },
  UND_ERR_DESTROYED: { kind: 'unavailable', says: 'this node is closing' },
  UND_ERR_CLOSED: { kind: 'unavailable', says: 'this node is closing' },
  // An assertion of the parser about what it was sent, such as status 099.
  ERR_ASSERTION: { kind: 'upstream', says: 'the answer is not HTTP/1.1' },
  UND_ERR_INVALID_ARG: { kind: 'invalid', says: 'the request cannot be sent' },
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: {
    kind: 'invalid',
    says: 'the request body is not as long as announced',
  },
};

/**
 * What a failure of undici or of a socket means. `address` is `host:port`; `untouched` says that no byte of an
 * answer had come. A `ProxyError` passes as it is.
 */
export function translateHttpError(
  error: unknown,
  address: string,
  untouched: boolean,
): ProxyError {
  if (error instanceof ProxyError) return error;
  const code = codeOf(error) ?? '';
  const meaning = MEANINGS[code];
  const options = { cause: error };
  if (meaning === undefined) {
    return new ProxyError('upstream', OP, `${address}: ${unnamed(code, error)}`, options);
  }
  // undici's own sentence names the field or part that it refuses.
  const detail = meaning.kind === 'invalid' ? `: ${messageOf(error)}` : '';
  const message = `${address}: ${meaning.says}${detail}`;
  return untouched && meaning.connection === true
    ? new NoAnswerError(meaning.kind, OP, message, options)
    : new ProxyError(meaning.kind, OP, message, options);
}

/** The failure of a fetch whose caller gave it up: the signal's reason where that has a kind. */
export function givenUp(reason: unknown): ProxyError {
  if (reason instanceof ProxyError) return reason;
  const kind = kindOf(reason) === 'timeout' ? 'timeout' : 'aborted';
  const message = kind === 'timeout' ? 'the time for this fetch is over' : 'the fetch was given up';
  return new ProxyError(kind, OP, message, { cause: reason });
}

function unnamed(code: string, error: unknown): string {
  const said = firstLine(error);
  if (/CERT|SSL|TLS|SIGN|ISSUER|EPROTO/.test(code)) return `TLS failed: ${said}`;
  if (code.startsWith('HPE_')) return `the answer is not HTTP/1.1: ${said}`;
  return said || code || 'unknown failure';
}

/** OpenSSL's errors have their sentence in `reason`, behind it source files and numbers. */
function firstLine(error: unknown): string {
  const { reason } = error as { reason?: unknown };
  return typeof reason === 'string' ? reason : (messageOf(error).split('\n')[0] ?? '');
}
