import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import { Readable } from 'node:stream';
import type { CallOptions } from '../body.ts';
import { codeOf, messageOf, ProxyError } from '../errors.ts';
import { type HeaderLine, HeaderList } from '../headers.ts';
import type { Metrics } from '../metrics.ts';
import type { Fetched, Fetcher, FetchRequest } from './fetcher.ts';
import { FileBody } from './file-body.ts';
import { givenUp } from './http-errors.ts';

/** What a file fetcher is made with. */
export interface FileFetcherOptions {
  readonly name: string;
  /** Absolute path of the folder that answers `/`. */
  readonly path: string;
  readonly metrics: Metrics;
}

const OP = 'file-fetcher.fetch';
const TEXT = 'text/plain; charset=utf-8';
const OTHER_TYPE = 'application/octet-stream';
const TYPES: Readonly<Record<string, string>> = {
  '.info': 'application/json',
  '.json': 'application/json',
  '.mod': TEXT,
  '.txt': TEXT,
  '.zip': 'application/zip',
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
};
// Files without an ending that a GOPROXY folder has.
const GOPROXY_TYPES: Readonly<Record<string, string>> = {
  list: TEXT,
  '@latest': 'application/json',
};
const ABSENT: ReadonlySet<string> = new Set([
  'ENOENT',
  'ENOTDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENXIO',
]);

/** Answers GET and HEAD from a folder, also one in GOPROXY layout. No path and no symbolic link leads out of it. */
export class FileFetcher implements Fetcher {
  readonly name: string;
  readonly #path: string;
  readonly #metrics: Metrics;

  constructor(options: FileFetcherOptions) {
    this.name = options.name;
    this.#path = options.path;
    this.#metrics = options.metrics;
  }

  async fetch(request: FetchRequest, options: CallOptions = {}): Promise<Fetched> {
    if (options.signal?.aborted === true) throw givenUp(options.signal.reason);
    this.#metrics.count('fetches_total', this.name);
    request.body?.destroy();
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return this.#say(request, 405, 'only GET and HEAD', [['Allow', 'GET, HEAD']]);
    }
    try {
      return (await this.#open(request, options)) ?? this.#say(request, 404, 'not found');
    } catch (error) {
      this.#metrics.count('fetch_errors_total', `${this.name},upstream`);
      throw error;
    }
  }

  async #open(request: FetchRequest, options: CallOptions): Promise<Fetched | undefined> {
    const segments = segmentsOf(request.path);
    if (segments === undefined) return undefined;
    const file = await openInside(this.#path, segments);
    if (file === undefined) return undefined;
    let stats: Stats;
    try {
      stats = await file.stat();
    } catch (cause) {
      await file.close();
      throw cannot(`read ${request.path}`, cause);
    }
    if (!stats.isFile()) {
      await file.close();
      return undefined;
    }
    const modified = new Date(stats.mtimeMs).toUTCString();
    const since = Date.parse(request.headers.get('if-modified-since') ?? '');
    if (Math.floor(stats.mtimeMs / 1000) * 1000 <= since) {
      await file.close();
      return this.#answer(304, [['Last-Modified', modified]], Readable.from([]));
    }
    const name = segments.at(-1) ?? '';
    const headers: HeaderLine[] = [
      ['Content-Type', TYPES[extname(name)] ?? GOPROXY_TYPES[name] ?? OTHER_TYPE],
      ['Content-Length', String(stats.size)],
      ['Last-Modified', modified],
    ];
    if (request.method === 'HEAD') {
      await file.close();
      return this.#answer(200, headers, Readable.from([]));
    }
    return this.#answer(200, headers, abortable(new FileBody(file, stats.size), options));
  }

  #say(
    request: FetchRequest,
    status: number,
    message: string,
    more: readonly HeaderLine[] = [],
  ): Fetched {
    const text = Buffer.from(`${message}\n`);
    const headers: HeaderLine[] = [
      ['Content-Type', TEXT],
      ['Content-Length', String(text.length)],
      ...more,
    ];
    return this.#answer(status, headers, Readable.from(request.method === 'HEAD' ? [] : [text]));
  }

  #answer(status: number, headers: readonly HeaderLine[], body: Readable): Fetched {
    return { status, headers: new HeaderList(headers), body, source: this.name };
  }
}

/** Absent: no file of any folder has this name. */
function segmentsOf(path: string): readonly string[] | undefined {
  let decoded: string[];
  try {
    decoded = path
      .replace(/[?#].*$/s, '')
      .split('/')
      .slice(1)
      .map(decodeURIComponent);
  } catch {
    return undefined;
  }
  const bad = decoded.some(
    (name) => name === '' || name === '.' || name === '..' || /[/\0]/.test(name),
  );
  return bad ? undefined : decoded;
}

async function openInside(
  root: string,
  segments: readonly string[],
): Promise<FileHandle | undefined> {
  let base: string;
  try {
    base = await realpath(root);
  } catch (cause) {
    // A folder that is away, such as one not mounted, does not mean that its files do not exist.
    throw cannot(`read the folder ${root}`, cause);
  }
  try {
    const real = await realpath(join(base, ...segments));
    if (!real.startsWith(base.endsWith(sep) ? base : base + sep)) return undefined;
    // Without O_NONBLOCK opening a named pipe would wait for its writer.
    return await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (ABSENT.has(codeOf(cause) ?? '')) return undefined;
    throw cannot(`open /${segments.join('/')}`, cause);
  }
}

function cannot(what: string, cause: unknown): ProxyError {
  const why = codeOf(cause) ?? messageOf(cause);
  return new ProxyError('upstream', OP, `cannot ${what}: ${why}`, { cause });
}

function abortable(body: Readable, { signal }: CallOptions): Readable {
  if (signal === undefined) return body;
  const onAbort = (): void => void body.destroy(givenUp(signal.reason));
  signal.addEventListener('abort', onAbort, { once: true });
  return body.once('close', () => signal.removeEventListener('abort', onAbort));
}
