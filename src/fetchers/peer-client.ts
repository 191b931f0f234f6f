import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { BLOCK_SIZE, type CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import { type HeaderLine, HeaderList } from '../headers.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { checkedBlocks, DIGEST_BYTES } from './checked-blocks.ts';
import { discard } from './discard.ts';
import type { Fetched, FetchOptions, FetchRequest } from './fetcher.ts';
import { HttpClient, type HttpClientOptions } from './http-client.ts';
import type { HttpAnswer, Trailers } from './http-exchange.ts';
import {
  blocksOfAnswer,
  PEER_FIELDS,
  PEER_NODE_PATH,
  PEER_RESOURCE_PATH,
  PEER_STATUS_PATH,
  type PeerNode,
  parsedJson,
  parsePeerNode,
  reprDigestToHex,
  storedFields,
} from './peer-protocol.ts';
import { CONDITION_FIELDS, CONNECTION_FIELDS, CREDENTIAL_FIELDS } from './request-fields.ts';

/** What a client of one peer is made with. */
export interface PeerClientOptions extends Omit<HttpClientOptions, 'env'> {
  /** Sent as bearer token to this peer alone; asked for with each request. */
  token(): string;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** What a peer shall do: look into its store, fetch what it lacks, or fetch it as the owner of the key. */
export type PeerWay = 'look' | 'fill' | 'own';

/** How a peer is asked. */
export interface PeerCall extends FetchOptions {
  readonly way: PeerWay;
  /** Milliseconds until it must have given a sign of life: its answer's head, or word that it works on it. Absent: as long as a fetch may take. */
  readonly signWithinMs?: number | undefined;
  /** Called when the body is found to differ from what was promised. Absent: nobody wants to know. */
  readonly mistrusted?: (() => void) | undefined;
}

/** A node lives and says that it cannot serve this request. */
export class PeerAnswerError extends ProxyError {}

const OP = 'peer-client.ask';
/** A peer says who it is within this. Milliseconds. */
const NODE_MS = 1_000;

/** Asks one other caje node, never through a forward proxy, and checks what it sends as it arrives. */
export class PeerClient implements AsyncDisposable {
  readonly name: string;
  readonly #client: HttpClient;
  readonly #options: PeerClientOptions;
  readonly #base: string;

  constructor(options: PeerClientOptions) {
    this.name = options.name;
    this.#options = options;
    this.#client = new HttpClient({ ...options, env: undefined });
    this.#base = options.url.pathname.replace(/\/+$/, '');
  }

  /** `host:port`, for messages. */
  get address(): string {
    return this.#client.address;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }

  /** Who it is. Throws as `Fetcher.fetch`, `upstream` too when it refuses the token. */
  async node(options?: CallOptions): Promise<PeerNode> {
    return parsePeerNode(await this.#text(PEER_NODE_PATH, NODE_MS, options));
  }

  /** How it stands, as its JSON says. Throws as `node`. The signal is the only limit on its time. */
  async status(options?: CallOptions): Promise<unknown> {
    return parsedJson(await this.#text(PEER_STATUS_PATH, undefined, options));
  }

  async #text(
    path: string,
    headWithinMs: number | undefined,
    { signal }: CallOptions = {},
  ): Promise<string> {
    const answer = await this.#client.send({
      path: this.#base + path,
      headers: this.#credentials(),
      asked: { method: 'GET', ranged: false, conditional: false },
      signal,
      headWithinMs,
    });
    if (answer.status === 200) return await text(answer.body);
    discard(answer.body);
    if (answer.status === 401) throw this.#refusedToken();
    throw new ProxyError(
      'upstream',
      'peer-client.node',
      `peer ${this.address} answered ${answer.status}: not a caje node that speaks this version`,
    );
  }

  /** Its answer; a miss is a value. Throws as `Fetcher.fetch`, and `integrity` when the first block of the body is not what it promised. */
  async ask(request: FetchRequest, call: PeerCall): Promise<Fetched> {
    const { method } = request;
    if (method !== 'GET' && method !== 'HEAD') {
      throw new ProxyError('unsupported', OP, `a peer answers GET and HEAD, not ${method}`);
    }
    request.body?.destroy();
    const trailers = Promise.withResolvers<Trailers | undefined>();
    const { headers, ranged, conditional } = this.#fields(request, call.way);
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
      signal: call.signal,
      headWithinMs: call.signWithinMs,
      interim: () => call.begun?.(),
      ended: trailers.resolve,
    });
    const status = Number(answer.headers.get(PEER_FIELDS.status));
    if (answer.status !== 200 || !(status >= 200 && status <= 599)) return this.#decline(answer);
    if ((status === 206 && !ranged) || (status === 304 && !conditional)) {
      answer.body.destroy();
      const message = `peer ${this.address} gave a ${status} that was not asked for`;
      throw new ProxyError('upstream', OP, message);
    }
    if (call.way !== 'fill' && this.#isTooOld(answer.headers, call)) {
      answer.body.destroy();
      return this.#miss(status);
    }
    const bodiless = method === 'HEAD' || status === 204 || status === 304;
    const inHead = answer.headers.get('repr-digest');
    const digest = reprDigestToHex(inHead);
    const stored = storedFields(answer.headers, bodiless);
    return {
      status,
      headers: stored,
      ...(bodiless
        ? { body: answer.body }
        : await this.#checked(answer, digest, stored, request, call)),
      complete: answer.complete,
      source: this.name,
      fromPeer: true,
      mistrusted: call.mistrusted,
      unkept: answer.headers.get(PEER_FIELDS.state) === 'passed' || undefined,
      promisedDigest:
        inHead === undefined
          ? trailers.promise.then((fields) => reprDigestToHex(fieldOf(fields, 'repr-digest')))
          : Promise.resolve(digest),
    };
  }

  async #checked(
    { headers, body }: HttpAnswer,
    digest: string | undefined,
    stored: HeaderList,
    { publicUrl }: FetchRequest,
    { mistrusted }: PeerCall,
  ): Promise<Pick<Fetched, 'body' | 'checkedBlocks'>> {
    const from = `peer ${this.address}`;
    try {
      const size = Number(stored.get('content-length') ?? 0);
      const blocks = blocksOfAnswer(headers.get(PEER_FIELDS.blocks), digest, size);
      if (blocks === undefined) return { body };
      const differs = (block: number): void => {
        mistrusted?.();
        this.#options.metrics.count('peer_mismatch_total');
        this.#options.log.error(
          { peer: this.address, url: publicUrl, block },
          'a body from a peer differs from the digest sent with it',
        );
      };
      const checked = await checkedBlocks(body, { blocks, from, differs });
      const isAll = blocks.length === Math.ceil(size / BLOCK_SIZE) * DIGEST_BYTES;
      return { body: checked, checkedBlocks: isAll ? blocks : undefined };
    } catch (error) {
      body.destroy();
      throw error;
    }
  }

  #credentials(): HeaderLine[] {
    return [
      ['Host', this.#options.url.host],
      ['Authorization', `Bearer ${this.#options.token()}`],
    ];
  }

  #fields(
    request: FetchRequest,
    way: PeerWay,
  ): { headers: HeaderLine[]; ranged: boolean; conditional: boolean } {
    const looks = way === 'look';
    const headers: HeaderLine[] = [
      ...this.#credentials(),
      [PEER_FIELDS.target, request.publicUrl],
      [PEER_FIELDS.method, request.method],
      looks ? ['Cache-Control', 'only-if-cached'] : [PEER_FIELDS.fill, '1'],
    ];
    if (way === 'own') headers.push([PEER_FIELDS.owner, '1']);
    let ranged = false;
    let conditional = false;
    for (const line of request.headers.lines) {
      const name = line[0].toLowerCase();
      if (CONNECTION_FIELDS.has(name) || CREDENTIAL_FIELDS.has(name)) continue;
      if (name === 'content-length' || name.startsWith('caje-')) continue;
      if (looks && (name === 'cache-control' || name === 'pragma')) continue;
      if (name === 'range') ranged = true;
      else if (CONDITION_FIELDS.has(name)) conditional = true;
      headers.push(line);
    }
    return { headers, ranged, conditional };
  }

  /** What is no answer: a miss is a value, everything else is thrown. */
  #decline(answer: HttpAnswer): Fetched {
    discard(answer.body);
    const peer = `peer ${this.address}`;
    const { status, headers } = answer;
    if (status === 504 && headers.get(PEER_FIELDS.miss) === '1') return this.#miss(status);
    switch (status) {
      case 200:
        throw new ProxyError(
          'upstream',
          OP,
          `${peer} is not a caje node: no ${PEER_FIELDS.status}`,
        );
      case 401:
        throw this.#refusedToken();
      case 508:
        throw new PeerAnswerError(
          'loop',
          OP,
          `${peer} says that the request came through it already`,
        );
      case 503:
        throw new PeerAnswerError('unavailable', OP, `${peer} is too busy`, {
          retryAfter: secondsOf(headers.get('retry-after')),
        });
      case 504:
        throw new PeerAnswerError('timeout', OP, `${peer}: its own fetch timed out`);
      case 502:
        throw new PeerAnswerError('upstream', OP, `${peer} answered 502: its own fetch failed`);
      default:
        // A refusal in a node's own words is about this request; anything else is no node that could be asked.
        throw isProblem(headers)
          ? new PeerAnswerError('upstream', OP, `${peer} answered ${status}`)
          : new ProxyError('upstream', OP, `${peer} answered ${status}`);
    }
  }

  #miss(status: number): Fetched {
    const body = Readable.from([]);
    return { status, headers: HeaderList.empty, body, source: this.name, miss: true };
  }

  // One that is the last of its chain stands for the origin: there is nothing newer to be had.
  #isTooOld(headers: HeaderList, { notBefore }: PeerCall): boolean {
    const time = notBefore?.(headers);
    if (time === undefined) return false;
    const since = Number(headers.get(PEER_FIELDS.since) ?? Number.NaN);
    return !(this.#options.clock.monotonic() - since >= time);
  }

  #refusedToken(): ProxyError {
    return new ProxyError('upstream', OP, `peer ${this.address}: peer refused our token`);
  }
}

function fieldOf(fields: Trailers | undefined, name: string): string | undefined {
  const value = fields?.[name];
  return typeof value === 'string' ? value : value?.join(', ');
}

function isProblem(headers: HeaderList): boolean {
  return /^application\/problem\+json\b/i.test(headers.get('content-type') ?? '');
}

function secondsOf(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,6}$/.test(value) ? Number(value) : undefined;
}
