import { Readable } from 'node:stream';
import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import { type HeaderLine, HeaderList } from '../headers.ts';
import type { ChainLink } from './chain-fetcher.ts';
import { discard } from './discard.ts';
import type { Fetched, Fetcher, FetchRequest } from './fetcher.ts';
import { HttpClient, type HttpClientOptions } from './http-client.ts';
import type { HttpAnswer, Trailers } from './http-exchange.ts';
import { PEER_FIELDS, PEER_RESOURCE_PATH, reprDigestToHex, storedFields } from './peer-protocol.ts';
import { CONDITION_FIELDS, CONNECTION_FIELDS, CREDENTIAL_FIELDS } from './request-fields.ts';

/** What a peer fetcher is made with. */
export interface PeerOptions extends Omit<HttpClientOptions, 'env'> {
  /** Sent as bearer token to this peer alone. */
  readonly token: string;
  /** True: the peer always fetches what it lacks; false: never. Absent: its place in the chain decides. */
  readonly fill?: boolean | undefined;
  /** Milliseconds until a peer that only looks must have answered: what a miss may cost. */
  readonly lookupMs?: number | undefined;
  /** Limits and retries around each way of asking. Absent: none. */
  readonly wrap?: ((fetcher: Fetcher) => Fetcher) | undefined;
}

/** Milliseconds that asking a peer first may add to a request that the next fetcher answers. */
export const PEER_LOOKUP_MS = 450;

const OP = 'peer-fetcher.fetch';

/** Another caje node. It looks into its store only, or fetches for us; see `inChain`. Never asked through a forward proxy. */
export class PeerFetcher implements Fetcher, ChainLink, AsyncDisposable {
  readonly name: string;
  readonly #client: HttpClient;
  readonly #options: PeerOptions;
  readonly #base: string;
  readonly #lookup: Fetcher;
  readonly #fill: Fetcher;

  constructor(options: PeerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#client = new HttpClient({ ...options, env: undefined });
    this.#base = options.url.pathname.replace(/\/+$/, '');
    const wrap = options.wrap ?? ((fetcher: Fetcher): Fetcher => fetcher);
    const asking = (fill: boolean): Fetcher => ({
      name: this.name,
      fetch: async (request, call) => await this.#ask(request, fill, call),
    });
    this.#lookup = wrap(asking(false));
    this.#fill = wrap(asking(true));
  }

  /** Asked as the last of a chain. */
  async fetch(request: FetchRequest, options?: CallOptions): Promise<Fetched> {
    return await this.inChain(true).fetch(request, options);
  }

  inChain(last: boolean): Fetcher {
    return (this.#options.fill ?? last) ? this.#fill : this.#lookup;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }

  async #ask(request: FetchRequest, fill: boolean, options: CallOptions = {}): Promise<Fetched> {
    const { method } = request;
    if (method !== 'GET' && method !== 'HEAD') {
      throw new ProxyError('unsupported', OP, `a peer answers GET and HEAD, not ${method}`);
    }
    request.body?.destroy();
    const trailers = Promise.withResolvers<Trailers | undefined>();
    const { headers, ranged, conditional } = this.#fields(request, fill);
    const answer = await this.#client.send({
      path: this.#base + PEER_RESOURCE_PATH,
      headers,
      asked: {
        // The hop itself is always a GET; HEAD travels in a field of its own.
        method: 'GET',
        ranged,
        conditional,
        ...(method === 'GET' && { sizeField: PEER_FIELDS.size.toLowerCase() }),
      },
      signal: options.signal,
      headWithinMs: fill ? undefined : (this.#options.lookupMs ?? PEER_LOOKUP_MS),
      ended: trailers.resolve,
    });
    const status = Number(answer.headers.get(PEER_FIELDS.status));
    if (answer.status !== 200 || !(status >= 200 && status <= 599)) return this.#decline(answer);
    if ((status === 206 && !ranged) || (status === 304 && !conditional)) {
      answer.body.destroy();
      const message = `peer ${this.#client.address} gave a ${status} that was not asked for`;
      throw new ProxyError('upstream', OP, message);
    }
    const bodiless = method === 'HEAD' || status === 204 || status === 304;
    const inHead = answer.headers.get('repr-digest');
    return {
      status,
      headers: storedFields(answer.headers, bodiless),
      body: answer.body,
      complete: answer.complete,
      source: this.name,
      fromPeer: true,
      promisedDigest:
        inHead === undefined
          ? trailers.promise.then((fields) => reprDigestToHex(fieldOf(fields, 'repr-digest')))
          : Promise.resolve(reprDigestToHex(inHead)),
    };
  }

  #fields(
    request: FetchRequest,
    fill: boolean,
  ): { headers: HeaderLine[]; ranged: boolean; conditional: boolean } {
    const headers: HeaderLine[] = [
      ['Host', this.#options.url.host],
      ['Authorization', `Bearer ${this.#options.token}`],
      [PEER_FIELDS.target, request.publicUrl],
      [PEER_FIELDS.method, request.method],
      fill ? [PEER_FIELDS.fill, '1'] : ['Cache-Control', 'only-if-cached'],
    ];
    let ranged = false;
    let conditional = false;
    for (const line of request.headers.lines) {
      const name = line[0].toLowerCase();
      if (CONNECTION_FIELDS.has(name) || CREDENTIAL_FIELDS.has(name)) continue;
      if (name === 'content-length' || name.startsWith('caje-')) continue;
      if (!fill && (name === 'cache-control' || name === 'pragma')) continue;
      if (name === 'range') ranged = true;
      else if (CONDITION_FIELDS.has(name)) conditional = true;
      headers.push(line);
    }
    return { headers, ranged, conditional };
  }

  /** What is no answer: a miss is a value, everything else is thrown. */
  #decline(answer: HttpAnswer): Fetched {
    discard(answer.body);
    const peer = `peer ${this.#client.address}`;
    const { status, headers } = answer;
    if (status === 504 && headers.get(PEER_FIELDS.miss) === '1') {
      const body = Readable.from([]);
      return { status, headers: HeaderList.empty, body, source: this.name, miss: true };
    }
    switch (status) {
      case 200:
        throw new ProxyError(
          'upstream',
          OP,
          `${peer} is not a caje node: no ${PEER_FIELDS.status}`,
        );
      case 401:
        throw new ProxyError('upstream', OP, `${peer}: peer refused our token`);
      case 508:
        throw new ProxyError('loop', OP, `${peer} says that the request came through it already`);
      case 503:
        throw new ProxyError('unavailable', OP, `${peer} is too busy`, {
          retryAfter: secondsOf(headers.get('retry-after')),
        });
      case 504:
        throw new ProxyError('timeout', OP, `${peer}: its own fetch timed out`);
      default:
        throw new ProxyError('upstream', OP, `${peer} answered ${status}`);
    }
  }
}

function fieldOf(fields: Trailers | undefined, name: string): string | undefined {
  const value = fields?.[name];
  return typeof value === 'string' ? value : value?.join(', ');
}

function secondsOf(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,6}$/.test(value) ? Number(value) : undefined;
}
