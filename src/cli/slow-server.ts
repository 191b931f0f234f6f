import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { slowServerPage } from './slow-server-page.ts';

/** Where the server listens. */
export interface SlowServerOptions {
  /** 0: any free one. */
  readonly port: number;
  readonly host: string;
}

/** A running slow server. */
export interface SlowServer {
  /** `http://127.0.0.1:3000`, without a slash at the end. */
  readonly url: string;
  /** Ends it and every connection. */
  close(): Promise<void>;
}

interface Counts {
  requests: number;
  readonly paths: Map<string, number>;
  running: number;
  peak: number;
}

type Answer = (call: Call) => Promise<void> | void;

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  /** The part of the path behind the route's own. */
  readonly rest: string;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  readonly counts: Counts;
}

const FAST_MS = 1_000;
const SLOW_MS = 5_000;
const CACHEABLE = 'max-age=60';
const ETAG = '"caje-1"';
const MAX_CHUNKS = 10_000;
const MAX_INTERVAL_MS = 60_000;
const MAX_CHUNK_BYTES = 1024 * 1024;
const MAX_BYTES = 16 * 2 ** 30;
const PATTERN = Buffer.from(
  Array.from({ length: 64 * 1024 }, (_, at) => (at * 31 + (at >> 8)) & 255),
);

const ROUTES: ReadonlyMap<string, Answer> = new Map<string, Answer>([
  ['/', ({ response }) => page(response)],
  ['/fast', async (call) => await later(call, FAST_MS)],
  ['/slow', async (call) => await later(call, SLOW_MS)],
  ['/stream', stream],
  ['/echo', echo],
  ['/etag', etag],
  ['/counters', counters],
]);
const ROUTES_WITH_REST: ReadonlyMap<string, Answer> = new Map<string, Answer>([
  ['/status/', status],
  ['/size/', sized],
]);

/** Starts the server whose answers are slow, counted and repeatable: to try a node by hand, and for its tests. */
export async function startSlowServer({ port, host }: SlowServerOptions): Promise<SlowServer> {
  const counts: Counts = { requests: 0, paths: new Map(), running: 0, peak: 0 };
  const server = createServer((request, response) => void serve(request, response, counts));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  counts: Counts,
): Promise<void> {
  const url = URL.parse(request.url ?? '/', 'http://slow-server');
  const path = url?.pathname ?? '/';
  counts.requests += 1;
  counts.paths.set(path, (counts.paths.get(path) ?? 0) + 1);
  counts.running += 1;
  counts.peak = Math.max(counts.peak, counts.running);
  const gone = new AbortController();
  response.once('close', () => {
    counts.running -= 1;
    gone.abort();
  });
  const exact = ROUTES.get(path);
  const cut = path.lastIndexOf('/') + 1;
  const answer = exact ?? ROUTES_WITH_REST.get(path.slice(0, cut));
  if (url === null || answer === undefined) {
    text(response, 404, 'no such page; / lists them\n');
    return;
  }
  const rest = exact === undefined ? path.slice(cut) : '';
  try {
    await answer({ request, response, url, rest, signal: gone.signal, counts });
  } catch {
    // The client left while it was answered: there is nobody to tell.
    response.destroy();
  }
}

function page(response: ServerResponse): void {
  response.writeHead(200, {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': CACHEABLE,
  });
  response.end(slowServerPage());
}

async function later({ response, url, signal }: Call, ms: number): Promise<void> {
  await delay(ms, undefined, { signal });
  text(response, 200, `${url.pathname} took ${ms / 1000} s\n`, { 'Cache-Control': CACHEABLE });
}

async function stream({ response, url, signal }: Call): Promise<void> {
  const chunks = amount(url.searchParams.get('chunks'), 10, MAX_CHUNKS);
  const interval = amount(url.searchParams.get('interval'), 1_000, MAX_INTERVAL_MS);
  const size = amount(url.searchParams.get('size'), 1024, MAX_CHUNK_BYTES);
  if (chunks === undefined || interval === undefined || size === undefined) {
    text(
      response,
      400,
      `chunks up to ${MAX_CHUNKS}, interval (ms) up to ${MAX_INTERVAL_MS}, ` +
        `size (bytes) up to ${MAX_CHUNK_BYTES}\n`,
    );
    return;
  }
  response.writeHead(200, { 'Content-Type': 'text/plain', 'Cache-Control': CACHEABLE });
  for (let sent = 0; sent < chunks; sent += 1) {
    if (sent > 0) await delay(interval, undefined, { signal });
    const line = `chunk ${sent + 1} of ${chunks}\n`;
    response.write(line.padEnd(size, '.').slice(0, size));
  }
  response.end();
}

async function echo({ request, response }: Call): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    hash.update(chunk);
  }
  json(response, {
    method: request.method,
    url: request.url,
    headers: request.rawHeaders,
    body: { size, sha256: hash.digest('hex') },
  });
}

function status({ request, response, rest }: Call): void {
  const code = /^[2-5]\d\d$/.test(rest) ? Number(rest) : undefined;
  if (code === undefined) {
    text(response, 400, 'a status from 200 to 599\n');
    return;
  }
  request.resume();
  // A redirect without a target would be no redirect; a retry without a time no advice.
  text(response, code, `status ${code}\n`, {
    ...(code >= 300 && code < 400 && code !== 304 && { Location: '/' }),
    ...((code === 429 || code === 503) && { 'Retry-After': '1' }),
  });
}

async function sized({ request, response, rest }: Call): Promise<void> {
  const bytes = amount(rest, 0, MAX_BYTES);
  if (bytes === undefined || rest === '') {
    text(response, 400, `a number of bytes up to ${MAX_BYTES}\n`);
    return;
  }
  response.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': bytes,
    'Cache-Control': CACHEABLE,
  });
  if (request.method === 'HEAD') response.end();
  else await pipeline(Readable.from(pattern(bytes), { objectMode: false }), response);
}

function etag({ request, response }: Call): void {
  const fields = { ETag: ETAG, 'Cache-Control': 'max-age=1' };
  const asked = request.headers['if-none-match'] ?? '';
  if (asked.split(',').some((tag) => [ETAG, `W/${ETAG}`, '*'].includes(tag.trim()))) {
    response.writeHead(304, fields);
    response.end();
  } else text(response, 200, 'the same for ever\n', fields);
}

function counters({ response, counts }: Call): void {
  json(response, {
    requests: counts.requests,
    running: counts.running,
    peak: counts.peak,
    paths: Object.fromEntries([...counts.paths].sort(([a], [b]) => (a < b ? -1 : 1))),
  });
}

/** The same bytes for the same length, on every machine. */
function* pattern(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= PATTERN.length) {
    yield left < PATTERN.length ? PATTERN.subarray(0, left) : PATTERN;
  }
}

function amount(written: string | null, otherwise: number, most: number): number | undefined {
  if (written === null) return otherwise;
  const value = /^\d{1,12}$/.test(written) ? Number(written) : Number.NaN;
  return value <= most ? value : undefined;
}

function text(
  response: ServerResponse,
  code: number,
  body: string,
  fields: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(code, { 'Content-Type': 'text/plain; charset=utf-8', ...fields });
  response.end(body);
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(`${JSON.stringify(body, undefined, 2)}\n`);
}
