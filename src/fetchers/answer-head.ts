import { ProxyError } from '../errors.ts';
import { type HeaderLine, HeaderList } from '../headers.ts';

/** What of the request decides which answers make sense. */
export interface Asked {
  readonly method: string;
  /** The request carried a Range field. */
  readonly ranged: boolean;
  /** The request carried If-None-Match, If-Modified-Since or another condition. */
  readonly conditional: boolean;
  /** Lower-case name of a field that tells the length of a chunked body. Absent: there is none. */
  readonly sizeField?: string | undefined;
}

/** The head of an answer that passed its checks. */
export interface AnswerHead {
  readonly headers: HeaderList;
  /** Bytes of the body that will follow. Absent: not announced. */
  readonly length: number | undefined;
  /** False: the body ends with the connection, so that its end cannot be told from a cut. */
  readonly complete: boolean;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/;
const CONTENT_LENGTH = 'content-length';
const TRANSFER_ENCODING = 'transfer-encoding';
const CONTENT_RANGE = 'content-range';
/** Registered transfer codings (RFC 9112 §7.2), and several at once. */
const CHANGING_CODING = /,|\b(?:chunked|gzip|deflate|compress|trailers|identity)\b/i;
const LAST_STATUS = 599;
// The limit of bytes counts names and values alone: without this one 64 KiB could be 60,000 empty fields.
const MAX_FIELDS = 1_000;

/**
 * Checks status and fields as received and makes them a list. Throws `upstream`, naming `address`, for what an
 * origin may not send: RFC 9112 §6.3 and §11.1, RFC 9110 §15.3.7 and §15.4.5.
 */
export function readHead(
  status: number,
  raw: readonly (Buffer | string)[],
  asked: Asked,
  address: string,
): AnswerHead {
  const refuse = (why: string): never => {
    throw new ProxyError('upstream', 'http-client.send', `${address}: ${why}`);
  };
  if (status < 200 || status > LAST_STATUS) refuse(`status ${status} is not a final one`);
  if (status === 206 && !asked.ranged) refuse('206 to a request without Range');
  if (status === 304 && !asked.conditional) refuse('304 to a request without a condition');

  if (raw.length > 2 * MAX_FIELDS) refuse(`more than ${MAX_FIELDS} fields`);

  const lines: HeaderLine[] = [];
  let length: number | undefined;
  let coding: string | undefined;
  let range: string | undefined;
  let size: string | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = text(raw[i]);
    const value = text(raw[i + 1]);
    if (CONTROL.test(value)) refuse(`control character in the field ${name}`);
    lines.push([name, value]);
    if (is(name, CONTENT_LENGTH)) {
      const announced = lengthOf(value);
      if (announced === undefined) return refuse(`Content-Length ${value} is not a length`);
      if (length !== undefined && length !== announced) refuse('two different Content-Length');
      length = announced;
    } else if (is(name, TRANSFER_ENCODING)) {
      coding = coding === undefined ? value : `${coding}, ${value}`;
    } else if (is(name, CONTENT_RANGE)) range = value;
    else if (asked.sizeField !== undefined && is(name, asked.sizeField)) size = value;
  }
  if (coding !== undefined && length !== undefined) {
    refuse('both Content-Length and Transfer-Encoding');
  }
  const isChunked = coding?.trim().toLowerCase() === 'chunked';
  // What was compressed for the way here would have to be unpacked; other names stand for no change of the bytes.
  if (coding !== undefined && !isChunked && CHANGING_CODING.test(coding)) {
    refuse(`transfer coding ${coding} is not chunked`);
  }
  if (status === 206 && range !== undefined && !rangeFits(range, length)) {
    refuse(`Content-Range ${range} does not fit the answer`);
  }
  const bodiless = asked.method === 'HEAD' || status === 204 || status === 304;
  return {
    headers: new HeaderList(lines),
    length: bodiless ? 0 : (length ?? (size === undefined ? undefined : lengthOf(size))),
    complete: bodiless || isChunked || length !== undefined,
  };
}

/** Whether `name` is the field `lower`, which is written in lower case. */
export function is(name: string, lower: string): boolean {
  return name.length === lower.length && name.toLowerCase() === lower;
}

function text(part: Buffer | string | undefined): string {
  return typeof part === 'string' ? part : (part?.toString('latin1') ?? '');
}

function lengthOf(value: string): number | undefined {
  const length = /^\d{1,16}$/.test(value.trim()) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(length) ? length : undefined;
}

function rangeFits(range: string, length: number | undefined): boolean {
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(range.trim());
  if (match === null) return !/^bytes\b/i.test(range.trim());
  const first = Number(match[1]);
  const last = Number(match[2]);
  if (last < first || (match[3] !== '*' && last >= Number(match[3]))) return false;
  // A shorter body is an incomplete part (RFC 9111 §3.3): for whoever asked to judge.
  return length === undefined || length <= last - first + 1;
}
