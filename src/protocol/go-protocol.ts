import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Fetched, Fetcher, FetchRequest } from '../fetchers/fetcher.ts';
import { splitSumdbPath } from '../gomod/sumdb-path.ts';
import { HeaderList } from '../headers.ts';
import type { Supply } from './arrival.ts';
import { memoryContent } from './contents.ts';
import { goRouteTable } from './go-routes.ts';
import type { Protocol, ProtocolRequest, ProtocolResponse } from './protocol.ts';
import {
  findRoute,
  type RouteFound,
  type RouteMissing,
  type RouteTable,
  servedCacheControl,
} from './route-table.ts';
import type { RuleParts } from './rule.ts';
import { TableResource } from './table-resource.ts';

/** Namespace of the manifest that Go modules use unless the rule names its own. */
export const GO_NAMESPACE: string = 'go';

/** One checksum database that is passed through. */
export interface Sumdb {
  /** `host` or `host/path`, as GOSUMDB has it. */
  readonly name: string;
  /** Where it is asked. Absent: at the rule's own fetcher, below `/sumdb/<name>`. */
  readonly fetcher?: Fetcher | undefined;
  /** Closed with the protocol. */
  readonly owned?: AsyncDisposable | undefined;
}

export interface GoOptions {
  readonly sumdb: readonly Sumdb[];
  /** Milliseconds for which lists and queries are fresh. Absent: a minute. */
  readonly indexTtlMs?: number | undefined;
}

/**
 * A Go module proxy (https://go.dev/ref/mod#goproxy-protocol) that needs no go command: each artifact is fetched, streamed
 * and kept by itself, bytes pass untouched, an outage is never shown as an absence that was not known before.
 */
export class GoProtocol implements Protocol, AsyncDisposable {
  readonly name: string;
  readonly #parts: RuleParts;
  readonly #table: RouteTable;
  readonly #fetcher: Fetcher;
  readonly #sumdbs: readonly Sumdb[];

  constructor(parts: RuleParts, options: GoOptions) {
    this.name = parts.settings.name;
    this.#parts = parts;
    this.#sumdbs = options.sumdb;
    this.#table = goRouteTable({
      sumdb: options.sumdb.map(({ name }) => name),
      indexTtlMs: options.indexTtlMs,
    });
    this.#fetcher = withOutages(withSumdbs(parts.fetcher, options.sumdb));
  }

  /** Names of the checksum databases that are passed through. */
  get sumdbNames(): readonly string[] {
    return this.#sumdbs.map(({ name }) => name);
  }

  async handle(request: ProtocolRequest, options: CallOptions): Promise<ProtocolResponse> {
    return await this.#handle(request, options, this.#fetcher);
  }

  /** The same rule filled from another place: same keys, store, checks and first digests. */
  filledFrom(fetcher: Fetcher): Protocol {
    return {
      name: this.name,
      handle: async (request, options) => await this.#handle(request, options, fetcher),
    };
  }

  async #handle(
    request: ProtocolRequest,
    options: CallOptions,
    fetcher: Fetcher,
  ): Promise<ProtocolResponse> {
    const found = findRoute(this.#table, request.method, request.target);
    if (!found.found) return refusal(this.#table, found);
    if (found.route.class === 'generated') return generated(found);
    const { settings, stasher, pullThrough } = this.#parts;
    const subject = {
      namespace: settings.namespace ?? GO_NAMESPACE,
      key: found.key,
      rule: settings.name,
    };
    const supply: Supply = {
      fetcher,
      stasher,
      onlyIfCached: request.onlyIfCached,
      signal: options.signal,
    };
    return await pullThrough.answer(new TableResource(subject, request, found), supply);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { owned } of this.#sumdbs) await owned?.[Symbol.asyncDispose]();
  }
}

// An outage must stay an error: a client told 404 or given an empty answer would go elsewhere, or cache it.
function withOutages(inner: Fetcher): Fetcher {
  return {
    name: inner.name,
    async fetch(request, options) {
      const fetched = await inner.fetch(request, options);
      if (fetched.status < 500 || fetched.miss) return fetched;
      fetched.body.destroy();
      throw new ProxyError(
        'upstream',
        'go-protocol.fetch',
        `the upstream answered ${fetched.status} for ${request.path}`,
      );
    },
  };
}

function withSumdbs(inner: Fetcher, sumdbs: readonly Sumdb[]): Fetcher {
  const own = new Map(
    sumdbs.flatMap(({ name, fetcher }) => (fetcher ? [[name, fetcher] as const] : [])),
  );
  if (own.size === 0) return inner;
  const names = sumdbs.map(({ name }) => name);
  return {
    name: inner.name,
    async fetch(request: FetchRequest, options?: CallOptions): Promise<Fetched> {
      const split = request.path.startsWith('/sumdb/')
        ? splitSumdbPath(decodeURIComponent(request.path.slice('/sumdb/'.length)), names)
        : undefined;
      const fetcher = split && own.get(split.name);
      if (!split || !fetcher) return await inner.fetch(request, options);
      return await fetcher.fetch({ ...request, path: `/${split.rest}` }, options);
    },
  };
}

function generated({ route }: RouteFound): ProtocolResponse {
  return text(200, '', [['Cache-Control', servedCacheControl(route, route.ttlMs ?? 0)]]);
}

function refusal(table: RouteTable, { why, reason }: RouteMissing): ProtocolResponse {
  const noStore = ['Cache-Control', 'no-store'] as const;
  if (why === 'path') return text(404, `not found: ${reason}\n`, [noStore]);
  return text(405, `${reason}\n`, [['Allow', table.methods.join(', ')], noStore]);
}

function text(
  status: number,
  body: string,
  fields: readonly (readonly [string, string])[],
): ProtocolResponse {
  return {
    status,
    headers: new HeaderList([['Content-Type', 'text/plain; charset=utf-8'], ...fields]),
    content: memoryContent(Buffer.from(body)),
    report: { phase: 'bypass', detail: 'GENERATED' },
    selectable: false,
  };
}
