import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type Behaviour, behaviourOf } from './oracle-behaviour.ts';
import { BodyCheck, type BodyCheckOptions, type OracleName } from './oracle-bytes.ts';
import { sendOracle } from './oracle-send.ts';
import { chooseSeed } from './random.ts';

/** A request as it reached the origin. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query as sent: also the name of the body. */
  readonly key: string;
  /** Name, value, name, value … */
  readonly rawHeaders: readonly string[];
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What the origin counted for a key, or in all. */
export interface OracleCounts {
  readonly requests: number;
  /** Most requests that were being answered at the same time. */
  readonly peak: number;
}

/** Says how a request is answered, on top of what its query spells. Absent: nothing more. */
export type OracleRule = (
  request: SeenRequest,
  number: number,
) => Behaviour | undefined | Promise<Behaviour | undefined>;

/** How an origin is made. */
export interface OracleOptions {
  /** Absent: `CAJE_TEST_SEED`, else a new one. */
  readonly seed?: number | undefined;
  readonly rule?: OracleRule | undefined;
  /** Absent: one that is free. */
  readonly port?: number | undefined;
}

interface Counter {
  requests: number;
  now: number;
  peak: number;
}

/** Below this path the origin tells its counts and takes orders from another process. */
const CONTROL = '/_oracle/';

/**
 * An HTTP origin on loopback whose every body byte follows from seed, key, version and offset, so that any client can
 * check what it got and name its version. Counts requests by key, and breaks on demand: by `rule`, or by the query.
 */
export class OracleOrigin implements AsyncDisposable {
  readonly seed: number;
  /** May be changed between requests. */
  rule: OracleRule | undefined;
  /** Every request in the order of arrival. */
  readonly seen: SeenRequest[] = [];
  readonly #server: Server;
  readonly #versions = new Map<string, number>();
  readonly #counters = new Map<string, Counter>();
  readonly #total: Counter = { requests: 0, now: 0, peak: 0 };
  readonly #sockets = new Set<Socket>();
  #opened = 0;
  #waiters: (() => void)[] = [];

  private constructor(options: OracleOptions) {
    this.seed = options.seed ?? chooseSeed();
    this.rule = options.rule;
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      void this.#answer(request, response);
    });
    this.#server.on('connection', (socket: Socket) => {
      this.#opened++;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** Starts one on 127.0.0.1. */
  static async start(options: OracleOptions = {}): Promise<OracleOrigin> {
    const origin = new OracleOrigin(options);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    origin.#server.once('error', reject);
    origin.#server.listen(options.port ?? 0, '127.0.0.1', resolve);
    await promise;
    return origin;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Such as `http://127.0.0.1:40001`. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Version that the key has now; 1 at first. */
  version(key: string): number {
    return this.#versions.get(key) ?? 1;
  }

  /** Gives the key a new body from the next request on. Gives its version. */
  bumpVersion(key: string): number {
    const version = this.version(key) + 1;
    this.#versions.set(key, version);
    return version;
  }

  /** Requests for a key. Absent key: for all. */
  counts(key?: string): OracleCounts {
    const { requests, peak } = key === undefined ? this.#total : this.#counter(key);
    return { requests, peak };
  }

  /** Forgets what was counted and seen; versions stay. */
  resetCounts(): void {
    this.seen.length = 0;
    this.#counters.clear();
    Object.assign(this.#total, { requests: 0, peak: this.#total.now });
  }

  /** Connections open now, and opened in all. */
  get sockets(): { readonly open: number; readonly opened: number } {
    return { open: this.#sockets.size, opened: this.#opened };
  }

  /** Resolves once the key (absent: any) was asked for so often. */
  async asked(count: number, key?: string): Promise<void> {
    while (this.counts(key).requests < count) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** A check for a body of this key, of any version up to the present one. */
  check(key: string, options: Partial<BodyCheckOptions> = {}): BodyCheck {
    const versions = Array.from({ length: this.version(key) }, (_, index) => index + 1);
    return new BodyCheck({ seed: this.seed, key, versions, ...options });
  }

  /** Cuts every connection and stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #counter(key: string): Counter {
    const counter = this.#counters.get(key) ?? { requests: 0, now: 0, peak: 0 };
    this.#counters.set(key, counter);
    return counter;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const key = request.url ?? '';
    request.resume();
    if (key.startsWith(CONTROL)) return this.#control(new URL(key, 'http://origin'), response);
    const counters = [this.#counter(key), this.#total];
    for (const counter of counters) {
      counter.requests++;
      counter.now++;
      counter.peak = Math.max(counter.peak, counter.now);
    }
    const seen = {
      method: request.method ?? '',
      key,
      rawHeaders: request.rawHeaders,
      at: Date.now(),
    };
    const number = counters[0]?.requests ?? 0;
    const name: OracleName = { seed: this.seed, key, version: this.version(key) };
    response.once('close', () => {
      for (const counter of counters) counter.now--;
    });
    this.seen.push(seen);
    for (const wake of this.#waiters.splice(0)) wake();
    try {
      const spelled = behaviourOf(new URL(key, 'http://origin').searchParams);
      const ruled = await this.rule?.(seen, number);
      const headers = [...(spelled.headers ?? []), ...(ruled?.headers ?? [])];
      await sendOracle(request, response, name, { ...spelled, ...ruled, headers });
    } catch (error) {
      // The reader went away, or the test's own rule is wrong: the latter must be seen.
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end(String(error));
    }
  }

  #control(url: URL, response: ServerResponse): void {
    const key = url.searchParams.get('key') ?? undefined;
    const answers: Readonly<Record<string, () => unknown>> = {
      counts: () => this.counts(key),
      sockets: () => this.sockets,
      seen: () => this.seen,
      bump: () => this.bumpVersion(key ?? ''),
      version: () => this.version(key ?? ''),
      reset: () => this.resetCounts(),
    };
    const answer = answers[url.pathname.slice(CONTROL.length)];
    response.writeHead(answer === undefined ? 404 : 200);
    response.end(JSON.stringify(answer?.() ?? null));
  }
}
