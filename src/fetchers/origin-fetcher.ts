import { ProxyError } from '../errors.ts';
import type { HeaderLine } from '../headers.ts';
import type { Fetched, Fetcher, FetchOptions, FetchRequest } from './fetcher.ts';
import { HttpClient, type HttpClientOptions } from './http-client.ts';
import { CONDITION_FIELDS, CONNECTION_FIELDS } from './request-fields.ts';

/** Credentials for one origin, sent to no other host. */
export type OriginAuth =
  | { readonly bearer: string }
  | { readonly basic: { readonly user: string; readonly password: string } };

/** What an origin fetcher is made with; `url` may have a path that goes before each request's. */
export interface OriginOptions extends HttpClientOptions {
  readonly auth?: OriginAuth | undefined;
}

const TARGET = /^\/[\x21\x22\x24-\x7e\x80-\xff]*$/;
const DOT_SEGMENT = /(?:^|[/\\])(?:\.|%2e){1,2}(?=[/\\]|%2f|%5c|$)/i;

/** Gets from an HTTP origin: bytes and fields as it sends them, redirects handed on. */
export class OriginFetcher implements Fetcher, AsyncDisposable {
  readonly name: string;
  readonly #client: HttpClient;
  readonly #url: URL;
  readonly #host: string;
  readonly #base: string;
  readonly #authorization: HeaderLine | undefined;

  constructor(options: OriginOptions) {
    this.name = options.name;
    this.#client = new HttpClient(options);
    this.#url = options.url;
    this.#host = options.url.host;
    this.#base = options.url.pathname.replace(/\/+$/, '');
    this.#authorization = options.auth && ['Authorization', credentials(options.auth)];
  }

  async fetch(request: FetchRequest, options: FetchOptions = {}): Promise<Fetched> {
    const { method, body } = request;
    const headers: HeaderLine[] = [['Host', request.host ?? this.#host]];
    let ranged = false;
    let conditional = false;
    for (const line of request.headers.lines) {
      const name = line[0].toLowerCase();
      if (CONNECTION_FIELDS.has(name)) continue;
      if (body === undefined && name === 'content-length') continue;
      if (this.#authorization !== undefined && name === 'authorization') continue;
      if (name === 'range') ranged = true;
      else if (CONDITION_FIELDS.has(name)) conditional = true;
      headers.push(line);
    }
    if (this.#authorization !== undefined) headers.push(this.#authorization);
    const answer = await this.#client.send({
      path: this.#target(request.path),
      headers,
      body,
      asked: { method, ranged, conditional },
      signal: options.signal,
      interim: options.interim,
    });
    return { ...answer, source: this.name };
  }

  /** Credentials of the address stay here: they are this node's, not the client's. */
  async locate(request: FetchRequest): Promise<URL> {
    return new URL(this.#target(request.path), this.#url.origin);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }

  #target(path: string): string {
    if (!TARGET.test(path)) {
      throw new ProxyError(
        'invalid',
        'origin-fetcher.fetch',
        'the path cannot be sent to an origin',
      );
    }
    if (this.#base === '') return path;
    // The origin would resolve them, and may leave the base path that the configuration grants.
    if (DOT_SEGMENT.test(path.replace(/\?.*$/, ''))) {
      throw new ProxyError('invalid', 'origin-fetcher.fetch', 'the path has a dot segment');
    }
    return this.#base + path;
  }
}

function credentials(auth: OriginAuth): string {
  if ('bearer' in auth) return `Bearer ${auth.bearer}`;
  const { user, password } = auth.basic;
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}
