import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { HeaderList } from '../../src/headers.ts';
import type { Behaviour } from './oracle-behaviour.ts';
import { OracleBytes, type OracleName } from './oracle-bytes.ts';

const DEFAULT_SIZE = 1024;
/** Bytes written at a time. */
const CHUNK = 64 * 1024;
/** With a rate, so many pieces go out in a second. */
const PIECES_PER_SECOND = 20;

/** Answers one request as its behaviour says. Rejects when the reader goes away. */
export async function sendOracle(
  request: IncomingMessage,
  response: ServerResponse,
  name: OracleName,
  behaviour: Behaviour,
): Promise<void> {
  await wait(behaviour.delay ?? 0);
  if (behaviour.cut === -1) return void response.socket?.end();
  if (behaviour.reset === -1) return void response.socket?.resetAndDestroy();

  const content = contentOf(request, name, behaviour);
  const tag = behaviour.etag ?? etagOf(name);
  const fits = tag !== false && request.headers['if-none-match']?.includes(tag) === true;
  const status = behaviour.status ?? (fits ? 304 : undefined);
  const ifRange = request.headers['if-range'];
  const isAsked = status === undefined && (ifRange === undefined || ifRange === tag);
  const range = isAsked ? rangeOf(request, behaviour, content.size) : undefined;
  const start = range?.start ?? 0;
  const end = range?.end ?? content.size;

  let headers = new HeaderList([
    ['Cache-Control', 'max-age=3600'],
    ['Content-Type', 'application/octet-stream'],
    ['X-Oracle-Version', String(name.version)],
  ]);
  if (tag !== false) headers = headers.with('ETag', tag);
  if (range !== undefined) {
    headers = headers.with('Content-Range', `bytes ${start}-${end - 1}/${content.size}`);
  }
  const empty = status === 304 || status === 204;
  if (!empty && behaviour.chunked !== true) {
    headers = headers.with('Content-Length', String(behaviour.declared ?? end - start));
  }
  const own = behaviour.headers ?? [];
  const replaced = [...own.map(([field]) => field), ...(behaviour.omit ?? [])];
  headers = headers.without(...replaced).concat(new HeaderList(own));
  response.writeHead(status ?? (range === undefined ? 200 : 206), headers.toRaw());
  if (empty || request.method === 'HEAD') return void response.end();
  response.flushHeaders();
  if (await sendBody(response, content, behaviour, start, end)) response.end();
}

interface Content {
  readonly size: number;
  /** Bytes from an offset on, taken in order. */
  from(offset: number): (size: number) => Buffer;
}

/** False: the connection was ended on purpose. */
async function sendBody(
  response: ServerResponse,
  content: Content,
  behaviour: Behaviour,
  start: number,
  end: number,
): Promise<boolean> {
  const take = content.from(start);
  const { pause, rate, corrupt } = behaviour;
  const last = Math.min(behaviour.cut ?? end, behaviour.reset ?? end, end);
  const piece = rate === undefined ? CHUNK : Math.max(1, Math.ceil(rate / PIECES_PER_SECOND));
  let paused = pause === undefined;
  for (let at = start; at < last; ) {
    if (!paused && pause !== undefined && at >= pause.at) {
      paused = true;
      await wait(pause.until);
    }
    const stop = paused || pause === undefined ? last : Math.min(last, pause.at);
    const chunk = take(Math.min(piece, stop - at));
    if (corrupt !== undefined && corrupt >= at && corrupt < at + chunk.length) {
      chunk[corrupt - at] = (chunk[corrupt - at] ?? 0) ^ 1;
    }
    at += chunk.length;
    await write(response, chunk);
    if (rate !== undefined) await delay(1000 / PIECES_PER_SECOND);
  }
  if (!paused && pause !== undefined && pause.at >= last) await wait(pause.until);
  if (behaviour.reset !== undefined && behaviour.reset <= end) {
    response.socket?.resetAndDestroy();
    return false;
  }
  if (behaviour.cut !== undefined && behaviour.cut <= end) {
    response.socket?.end();
    return false;
  }
  return true;
}

async function write(response: ServerResponse, chunk: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    response.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}

function contentOf(request: IncomingMessage, name: OracleName, behaviour: Behaviour): Content {
  const fixed =
    behaviour.echo === true
      ? JSON.stringify({
          method: request.method,
          target: request.url,
          rawHeaders: request.rawHeaders,
        })
      : behaviour.body;
  if (fixed === undefined) {
    return {
      size: behaviour.size ?? DEFAULT_SIZE,
      from: (offset) => {
        const bytes = new OracleBytes(name, offset);
        return (size) => bytes.take(size);
      },
    };
  }
  const bytes = Buffer.from(fixed);
  return {
    size: bytes.length,
    from: (offset) => {
      let at = offset;
      return (size) => {
        const piece = Buffer.from(bytes.subarray(at, at + size));
        at += piece.length;
        return piece;
      };
    },
  };
}

/** One range of RFC 9110 §14.1.2 that lies inside the body; `end` is the first byte behind it. */
function rangeOf(
  request: IncomingMessage,
  behaviour: Behaviour,
  size: number,
): { readonly start: number; readonly end: number } | undefined {
  if (behaviour.ranges !== true || size === 0) return undefined;
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  if (from === '' && to === '') return undefined;
  if (from === '') return { start: Math.max(0, size - Number(to)), end: size };
  if (Number(from) >= size) return undefined;
  return { start: Number(from), end: to === '' ? size : Math.min(size, Number(to) + 1) };
}

/** The entity tag of a key's version. */
export function etagOf({ key, version }: OracleName): string {
  return `"${createHash('sha256').update(key).digest('hex').slice(0, 8)}-${version}"`;
}

async function wait(what: number | Promise<unknown>): Promise<void> {
  if (typeof what !== 'number') await what;
  else if (what > 0) await delay(what);
}
