import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { type Dispatcher, Pool } from 'undici';
import type { Clock } from '../clock.ts';
import type { ProxyError } from '../errors.ts';
import type { HeaderLine } from '../headers.ts';
import type { Metrics } from '../metrics.ts';
import { givenUp } from './http-errors.ts';
import {
  type ExchangeContext,
  type ExchangeOptions,
  type HttpAnswer,
  HttpExchange,
} from './http-exchange.ts';
import { type Environment, proxyFor } from './http-proxy.ts';
import { largeReads } from './large-reads.ts';

/** Limits of one exchange. */
export interface HttpLimits {
  /** Milliseconds until a connection stands. */
  readonly connectMs: number;
  /** Milliseconds from the request to the end of the answer's head. */
  readonly firstByteMs: number;
  /** Milliseconds that a body may stand still while we would read. */
  readonly bodyIdleMs: number;
  /** Bytes per second that a body must reach; 0: no limit. */
  readonly minRate: number;
  /** Milliseconds over which `minRate` is measured. */
  readonly minRateWindowMs: number;
}

/** Limits where the configuration names none. */
export const HTTP_LIMITS: HttpLimits = {
  connectMs: 5_000,
  firstByteMs: 30_000,
  bodyIdleMs: 30_000,
  minRate: 1024,
  minRateWindowMs: 60_000,
};

/** Connections to one host at once where the configuration says nothing. */
export const MAX_SOCKETS = 64;

const MAX_HEADER_BYTES = 64 * 1024;
// Below the 5 s after which node:http and others close an idle connection: a request must not meet that close.
const KEEP_ALIVE_MS = 4_000;
// A longer wait that the origin offers is taken up to here.
const KEEP_ALIVE_MAX_MS = 60_000;

/** What a client is made with. */
export interface HttpClientOptions {
  /** Name of the fetcher, for counters. */
  readonly name: string;
  /** Scheme, host and port count; the rest does not. */
  readonly url: URL;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly maxSockets?: number | undefined;
  readonly limits?: Partial<HttpLimits> | undefined;
  /** PEM text of the authorities trusted for this host. Absent: those of the runtime. */
  readonly ca?: string | undefined;
  /** PEM texts of the certificate and key shown to this host. Absent: none is. */
  readonly identity?: { readonly cert: string; readonly key: string } | undefined;
  /** Name that the host's certificate must be for. Absent: that of the URL. */
  readonly certificateFor?: string | undefined;
  /** Where HTTP_PROXY and friends are read. Absent: no forward proxy is used. */
  readonly env?: Environment | undefined;
}

/** A request ready for the wire. */
export interface HttpRequest extends ExchangeOptions {
  /** Path and query as sent. */
  readonly path: string;
  /** Lines to send in their order, Host among them; framing fields are undici's. */
  readonly headers: readonly HeaderLine[];
}

/** HTTP/1.1 with one host: a bounded pool of connections; redirects, codings and caches are left alone. */
export class HttpClient implements AsyncDisposable {
  readonly #dispatcher: Dispatcher;
  readonly #context: ExchangeContext;
  readonly #name: string;
  readonly #metrics: Metrics;
  readonly #origin: string;
  readonly #servername: string | undefined;
  readonly #proxied: boolean;

  constructor(options: HttpClientOptions) {
    const { url, clock, metrics, name } = options;
    const limits = { ...HTTP_LIMITS, ...options.limits };
    this.#origin = url.origin;
    this.#name = name;
    this.#metrics = metrics;
    const host = url.hostname.replace(/^\[|\]$/g, '');
    // The certificate is the configured host's, whatever Host a rule preserves.
    const certified = options.certificateFor ?? host;
    this.#servername = url.protocol === 'https:' && isIP(certified) === 0 ? certified : undefined;
    this.#context = {
      address: `${url.hostname}:${url.port || (url.protocol === 'https:' ? '443' : '80')}`,
      clock,
      minRate: limits.minRate,
      minRateWindowMs: limits.minRateWindowMs,
      failed: (error) => this.#count(error),
    };
    const tls = {
      ...(options.ca !== undefined && { ca: options.ca }),
      ...options.identity,
      checkServerIdentity: (_: string, certificate: PeerCertificate) =>
        checkServerIdentity(certified, certificate),
    };
    const common = {
      connections: options.maxSockets ?? MAX_SOCKETS,
      allowH2: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: limits.firstByteMs,
      bodyTimeout: limits.bodyIdleMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MAX_MS,
      connect: { timeout: limits.connectMs, ...tls },
    };
    const proxy = proxyFor(url, options.env ?? {}, { ...common, requestTls: tls } as object);
    this.#proxied = proxy !== undefined;
    const plain = url.protocol === 'http:' && {
      connect: largeReads({ timeout: limits.connectMs, allowH2: false }),
    };
    this.#dispatcher = proxy ?? new Pool(url.origin, { ...common, ...plain });
  }

  /** `host:port` of the other side, for messages. */
  get address(): string {
    return this.#context.address;
  }

  /** Resolves with the head. Throws as `Fetcher.fetch` does, and `invalid` for a request that may not be sent. */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    if (request.signal?.aborted === true) throw givenUp(request.signal.reason);
    this.#metrics.count('fetches_total', this.#name);
    return await new Promise((resolve, reject) => {
      const exchange = new HttpExchange(this.#context, request, resolve, reject);
      try {
        this.#dispatcher.dispatch(this.#toDispatch(request), exchange);
      } catch (error) {
        // Refused before it was queued: undici tells the handler of everything later.
        exchange.onResponseError(undefined, error as Error);
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy();
  }

  #toDispatch(request: HttpRequest): Dispatcher.DispatchOptions {
    const { headers } = request;
    return {
      origin: this.#origin,
      path: request.path,
      method: request.asked.method,
      // A forward proxy's dispatcher loses repeats from a flat list, and the order of repeats from none.
      headers: this.#proxied
        ? { [Symbol.iterator]: () => headers.values() as IterableIterator<[string, string]> }
        : headers.flat(),
      body: request.body ?? null,
      ...(this.#servername !== undefined && { servername: this.#servername }),
    };
  }

  #count(error: ProxyError): void {
    this.#metrics.count('fetch_errors_total', `${this.#name},${error.kind}`);
  }
}
