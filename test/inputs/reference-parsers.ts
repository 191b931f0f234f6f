/** One request as a parser reads it from bytes, given as latin1. */
export interface ReadRequest {
  readonly method: string;
  /** As written. */
  readonly target: string;
  /** '' where there is none. */
  readonly host: string;
  readonly body: string;
}

/** Reads the requests of a connection in order, up to where it would refuse, or would wait for more. */
export type RequestParser = (bytes: string) => ReadRequest[];

interface Body {
  readonly body: string;
  /** Where the next message begins. */
  readonly end: number;
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const CRLF = '\r\n';

/** RFC 9112 to the letter, but for what cannot be another request to anybody: whatever could be read in two ways ends the connection. */
export const readStrictly: RequestParser = (bytes) =>
  readAll((at) => {
    let from = at;
    // §2.2: line ends before a request are passed over; no method begins with one, so this is no second reading.
    while (/[\r\n]/.test(bytes.charAt(from))) from += 1;
    const headEnd = bytes.indexOf(CRLF + CRLF, from);
    if (headEnd < 0) return undefined;
    const [line = '', ...fields] = bytes.slice(from, headEnd).split(CRLF);
    // §3 lets words be parted by several blanks; whoever does not would refuse the line, and read no other request.
    const [, method, target, minor] = /^([^ ]+) +([\x21-\x7e]+) +HTTP\/1\.([01])$/.exec(line) ?? [];
    if (method === undefined || target === undefined || !TOKEN.test(method)) return undefined;
    const values = new Map<string, string[]>();
    for (const field of fields) {
      const colon = field.indexOf(':');
      const name = field.slice(0, Math.max(0, colon));
      const value = field.slice(colon + 1);
      if (!TOKEN.test(name) || !VALUE.test(value)) return undefined;
      const lower = name.toLowerCase();
      values.set(lower, [...(values.get(lower) ?? []), value.replaceAll(/^[ \t]+|[ \t]+$/g, '')]);
    }
    const [host, ...hosts] = values.get('host') ?? [];
    const lengths = values.get('content-length') ?? [];
    const codings = values.get('transfer-encoding') ?? [];
    if (host === undefined || hosts.length > 0 || lengths.length + codings.length > 1)
      return undefined;
    const [length] = lengths;
    const [coding] = codings;
    if (coding !== undefined && (minor === '0' || coding.toLowerCase() !== 'chunked'))
      return undefined;
    if (length !== undefined && !/^\d{1,15}$/.test(length)) return undefined;
    const start = headEnd + 2 * CRLF.length;
    const read =
      coding === undefined ? counted(bytes, start, Number(length ?? 0)) : chunked(bytes, start);
    return read && { method, target, host, ...read };
  });

function chunked(bytes: string, start: number): Body | undefined {
  let body = '';
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf(CRLF, at);
    if (lineEnd < 0) return undefined;
    const [, hex, extension] =
      /^([0-9A-Fa-f]{1,8})((?:[ \t]*;.*)?)$/.exec(bytes.slice(at, lineEnd)) ?? [];
    if (hex === undefined || !VALUE.test(extension ?? '')) return undefined;
    const size = Number.parseInt(hex, 16);
    at = lineEnd + CRLF.length;
    if (size === 0) break;
    const chunk = counted(bytes, at, size);
    if (chunk === undefined || !bytes.startsWith(CRLF, chunk.end)) return undefined;
    body += chunk.body;
    at = chunk.end + CRLF.length;
  }
  for (;;) {
    const lineEnd = bytes.indexOf(CRLF, at);
    if (lineEnd < 0) return undefined;
    const line = bytes.slice(at, lineEnd);
    at = lineEnd + CRLF.length;
    if (line === '') return { body, end: at };
    if (!TOKEN.test(line.split(':', 1)[0] ?? '') || !line.includes(':') || !VALUE.test(line))
      return undefined;
  }
}

/** As old and obliging software reads: bare line feeds, blanks before colons, folded lines, the last length, any `chunked`. */
export const readObligingly: RequestParser = (bytes) =>
  readAll((at) => {
    let from = at;
    while (/[\r\n]/.test(bytes.charAt(from))) from += 1;
    const [whole] = /\r?\n\r?\n/.exec(bytes.slice(from)) ?? [];
    if (whole === undefined) return undefined;
    const headEnd = bytes.indexOf(whole, from);
    const text = bytes.slice(from, headEnd).replaceAll(/\r?\n[ \t]+/g, ' ');
    const [line = '', ...fields] = text.split(/\r?\n/);
    const [method = '', target = ''] = line.trim().split(/[ \t]+/);
    let host = '';
    let length = 0;
    let isChunked = false;
    for (const field of fields) {
      const colon = field.indexOf(':');
      const name = field.slice(0, Math.max(0, colon)).trim().toLowerCase();
      const value = field.slice(colon + 1).trim();
      if (name === 'host') host = value;
      else if (name === 'content-length') length = Number.parseInt(value, 10) || 0;
      else if (name === 'transfer-encoding' && /chunked/i.test(value)) isChunked = true;
    }
    const start = headEnd + whole.length;
    const read = isChunked ? chunkedObligingly(bytes, start) : counted(bytes, start, length);
    return read && { method, target, host, ...read };
  });

function chunkedObligingly(bytes: string, start: number): Body | undefined {
  let body = '';
  let at = start;
  for (;;) {
    const lineEnd = bytes.indexOf('\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.slice(at, lineEnd).trim(), 16) || 0;
    at = lineEnd + 1;
    if (size === 0) break;
    const chunk = counted(bytes, at, size);
    if (chunk === undefined) return undefined;
    body += chunk.body;
    at = chunk.end + (/^\r?\n/.exec(bytes.slice(chunk.end, chunk.end + 2))?.[0].length ?? 0);
  }
  for (;;) {
    const lineEnd = bytes.indexOf('\n', at);
    if (lineEnd < 0) return undefined;
    const line = bytes.slice(at, lineEnd).trim();
    at = lineEnd + 1;
    if (line === '') return { body, end: at };
  }
}

function counted(bytes: string, start: number, size: number): Body | undefined {
  const end = start + size;
  return end > bytes.length ? undefined : { body: bytes.slice(start, end), end };
}

function readAll(next: (at: number) => (ReadRequest & Body) | undefined): ReadRequest[] {
  const read: ReadRequest[] = [];
  for (let at = 0; ; ) {
    const one = next(at);
    if (one === undefined) return read;
    const { end, ...request } = one;
    read.push(request);
    at = end;
  }
}
