import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { CallOptions } from '../body.ts';
import { codeOf, kindOf, ProxyError } from '../errors.ts';
import { type GoproxyPath, readGoproxyPath } from '../gomod/goproxy-path.ts';
import { type HeaderLine, HeaderList } from '../headers.ts';
import type { Fetched, Fetcher, FetchRequest } from './fetcher.ts';
import { FileBody } from './file-body.ts';
import type { GoImports } from './go-vcs-imports.ts';
import { askGo, questionName } from './go-vcs-questions.ts';
import type { VcsResult } from './go-vcs-workspace.ts';
import {
  GoVcsWorkspaces,
  type WorkspaceLease,
  type WorkspacesOptions,
} from './go-vcs-workspaces.ts';
import { givenUp } from './http-errors.ts';

/** What a go-vcs fetcher is made with. */
export interface GoVcsOptions extends WorkspacesOptions {
  readonly name: string;
}

const OP = 'go-vcs-fetcher.fetch';
const TEXT = 'text/plain; charset=utf-8';
const TYPES: Readonly<Record<GoproxyPath['file'], string>> = {
  list: TEXT,
  latest: 'application/json',
  info: 'application/json',
  mod: TEXT,
  zip: 'application/zip',
};

/**
 * Modules straight from their git repositories, answered as a GOPROXY would (https://go.dev/ref/mod#goproxy-protocol): the go
 * and git commands work in temporary folders, a few at a time. An absence is 404 with what they said; a host that cannot be
 * reached or refuses the credentials is `upstream`, one that takes too long `timeout`, a missing program `unavailable`.
 */
export class GoVcsFetcher implements Fetcher, AsyncDisposable {
  readonly name: string;
  readonly #options: GoVcsOptions;
  readonly #workspaces: GoVcsWorkspaces;
  readonly #imports: GoImports;
  readonly #closing = new AbortController();

  constructor(options: GoVcsOptions) {
    this.name = options.name;
    this.#options = options;
    this.#workspaces = new GoVcsWorkspaces(options);
    this.#imports = options.around.imports;
  }

  async fetch(request: FetchRequest, options: CallOptions = {}): Promise<Fetched> {
    if (options.signal?.aborted === true) throw givenUp(options.signal.reason);
    if (this.#closing.signal.aborted) throw closing();
    const { metrics } = this.#options;
    metrics.count('fetches_total', this.name);
    request.body?.destroy();
    const { method } = request;
    if (method !== 'GET' && method !== 'HEAD') {
      return this.#say(request, 405, 'only GET and HEAD\n', [['Allow', 'GET, HEAD']]);
    }
    const asked = readPath(request.path);
    if ('reason' in asked) return this.#say(request, 404, `not found: ${asked.reason}\n`);
    const lease = this.#workspaces.lease(asked.module);
    try {
      return await this.#answer(request, asked, lease, options);
    } catch (error) {
      lease.release();
      metrics.count('fetch_errors_total', `${this.name},${kindOf(error)}`);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(closing());
    await this.#workspaces[Symbol.asyncDispose]();
    await this.#imports[Symbol.asyncDispose]();
  }

  async #answer(
    request: FetchRequest,
    asked: GoproxyPath,
    lease: WorkspaceLease,
    options: CallOptions,
  ): Promise<Fetched> {
    const result = await lease.workspace.jobs.join(
      questionName(asked),
      async (signal) => await this.#ask(lease, asked, signal),
      options,
    );
    if (result.kind === 'file') return await this.#stream(request, result.path, lease, options);
    lease.release();
    if (result.kind === 'absent') return this.#say(request, 404, result.text);
    return this.#give(request, 200, TYPES[asked.file], result.bytes);
  }

  // What is asked is put in the turn of the first who asked, whose lease is there until everyone has left.
  async #ask(lease: WorkspaceLease, asked: GoproxyPath, signal: AbortSignal): Promise<VcsResult> {
    try {
      return await askGo(lease, asked, AbortSignal.any([signal, this.#closing.signal]));
    } catch (error) {
      const code = error instanceof ProxyError ? undefined : codeOf(error);
      if (code === undefined) throw error;
      const message = `the folder for git cannot be used: ${code}`;
      throw new ProxyError('upstream', OP, message, { cause: error });
    }
  }

  async #stream(
    request: FetchRequest,
    path: string,
    lease: WorkspaceLease,
    { signal }: CallOptions,
  ): Promise<Fetched> {
    const file = await open(path);
    const { size } = await file.stat().catch(async (error: unknown) => {
      await file.close();
      throw error;
    });
    const headers = new HeaderList([
      ['Content-Type', TYPES.zip],
      ['Content-Length', String(size)],
    ]);
    if (request.method === 'HEAD') {
      await file.close();
      lease.release();
      return { status: 200, headers, body: Readable.from([]), source: this.name };
    }
    if (signal?.aborted === true) {
      await file.close();
      throw givenUp(signal.reason);
    }
    const body = new FileBody(file, size);
    const onAbort = (): void => void body.destroy(givenUp(signal?.reason));
    signal?.addEventListener('abort', onAbort, { once: true });
    body.once('close', () => {
      signal?.removeEventListener('abort', onAbort);
      lease.release();
    });
    return { status: 200, headers, body, source: this.name };
  }

  #say(
    request: FetchRequest,
    status: number,
    message: string,
    more: readonly HeaderLine[] = [],
  ): Fetched {
    return this.#give(request, status, TEXT, Buffer.from(message), more);
  }

  #give(
    { method }: FetchRequest,
    status: number,
    type: string,
    bytes: Buffer,
    more: readonly HeaderLine[] = [],
  ): Fetched {
    const headers = new HeaderList([
      ['Content-Type', type],
      ['Content-Length', String(bytes.length)],
      ...more,
    ]);
    const body = Readable.from(method === 'HEAD' || bytes.length === 0 ? [] : [bytes]);
    return { status, headers, body, source: this.name };
  }
}

function readPath(path: string): GoproxyPath | { readonly reason: string } {
  try {
    return readGoproxyPath(decodeURIComponent(path.replace(/[?#].*$/s, '').slice(1)));
  } catch {
    return { reason: 'malformed percent-encoding' };
  }
}

function closing(): ProxyError {
  return new ProxyError('unavailable', OP, 'this node is closing');
}
