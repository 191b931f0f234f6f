import type { HeaderLine } from '../../src/headers.ts';

/** A stop in the middle of a body. */
export interface Pause {
  /** Bytes of the body that are sent before. */
  readonly at: number;
  /** Goes on then. */
  readonly until: Promise<unknown> | number;
}

/** How the oracle origin answers one request. What is absent is as in a plain, cacheable 200. */
export interface Behaviour {
  readonly status?: number | undefined;
  /** Further fields; one named like a field of the origin's own takes its place. */
  readonly headers?: readonly HeaderLine[] | undefined;
  /** Fields of the origin's own that are not sent. */
  readonly omit?: readonly string[] | undefined;
  /** Bytes of the body. Absent: 1024. */
  readonly size?: number | undefined;
  /** Milliseconds, or a promise, before the head is sent. */
  readonly delay?: number | Promise<unknown> | undefined;
  readonly pause?: Pause | undefined;
  /** Bytes in a second. Absent: as fast as the reader takes them. */
  readonly rate?: number | undefined;
  /** Ends the connection in good order after so many bytes of the body; -1: instead of the head. */
  readonly cut?: number | undefined;
  /** Resets the connection after so many bytes of the body; -1: instead of the head. */
  readonly reset?: number | undefined;
  /** True: no Content-Length. */
  readonly chunked?: boolean | undefined;
  /** Content-Length as it is sent, whatever the size. */
  readonly declared?: number | undefined;
  /** The entity tag. `false`: none. Absent: one of the key and version. */
  readonly etag?: string | false | undefined;
  /** One bit of the byte at this offset is wrong. */
  readonly corrupt?: number | undefined;
  /** True: a single Range is answered with 206, unless If-Range names another tag. Absent: ranges are not heeded. */
  readonly ranges?: boolean | undefined;
  /** Sent in place of the oracle's bytes. */
  readonly body?: Buffer | string | undefined;
  /** True: the body is the request as it came: `{ method, target, rawHeaders }`. */
  readonly echo?: boolean | undefined;
}

/** The behaviour that a query spells, such as `?size=4096&cc=no-store&cut=100`. Throws for a number that is none. */
export function behaviourOf(query: URLSearchParams): Behaviour {
  const number = (name: string): number | undefined => {
    const text = query.get(name);
    if (text === null) return undefined;
    const value = Number(text);
    if (!Number.isFinite(value)) throw new Error(`${name}=${text}: expected a number`);
    return value;
  };
  const headers: HeaderLine[] = query.getAll('header').map(headerLine);
  const cacheControl = query.get('cc');
  if (cacheControl !== null) headers.push(['Cache-Control', cacheControl]);
  const vary = query.get('vary');
  if (vary !== null) headers.push(['Vary', vary]);
  const pause = query.get('pause')?.split(':').map(Number);
  const etag = query.get('etag');
  return {
    headers,
    omit: query.getAll('omit'),
    status: number('status'),
    size: number('size'),
    delay: number('delay'),
    rate: number('rate'),
    cut: number('cut'),
    reset: number('reset'),
    declared: number('declared'),
    corrupt: number('corrupt'),
    chunked: query.has('chunked'),
    ranges: query.has('ranges'),
    echo: query.has('echo'),
    ...(pause && { pause: { at: pause[0] ?? 0, until: pause[1] ?? 0 } }),
    ...(etag !== null && { etag: etag === 'none' ? false : etag }),
  };
}

function headerLine(text: string): HeaderLine {
  const colon = text.indexOf(':');
  if (colon < 1) throw new Error(`header=${text}: expected NAME:VALUE`);
  return [text.slice(0, colon), text.slice(colon + 1).trim()];
}
