import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Fetcher } from '../fetchers/fetcher.ts';
import type { SumdbClient } from '../gomod/sumdb-client.ts';
import type { SumdbRead } from '../gomod/sumdb-tiles.ts';
import type { Metrics } from '../metrics.ts';
import type { Supply } from './arrival.ts';
import { generatedAnswer } from './generated-answer.ts';
import { answerKept, listsKept } from './go-catalog.ts';
import type { GoChecks } from './go-checks.ts';
import type { GoPolicies, GoPolicy } from './go-policy.ts';
import { goRouteTable, SUPPORTED_RELAYED } from './go-routes.ts';
import { answerFromKept, isOutage } from './go-stand-in.ts';
import { asModuleProxy, openSumdb, type Sumdb, withSumdbs } from './go-upstream.ts';
import type { KeptModules } from './kept-modules.ts';
import { ownRequest, readResponse } from './own-request.ts';
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

export interface GoOptions {
  readonly sumdb: readonly Sumdb[];
  /** Milliseconds for which lists and queries are fresh. Absent: a minute. */
  readonly indexTtlMs?: number | undefined;
  readonly policies: GoPolicies;
  readonly kept: KeptModules;
  /** Makes what looks at files on their way in; `read` gives it the bytes of a checksum database by name. Absent: nothing looks. */
  readonly checks?: ((read: (name: string) => SumdbRead) => GoChecks) | undefined;
  readonly metrics: Metrics;
}

/** Asks for what is kept and nothing else, as the public Go module proxy has it: this prefix of the path, or the field. */
const CACHED_ONLY = '/cached-only/';
const DISABLE_FETCH = 'disable-module-fetch';

/**
 * A Go module proxy (https://go.dev/ref/mod#goproxy-protocol) that needs no go command: each artifact is fetched, streamed
 * and kept by itself, bytes pass untouched, an outage is never shown as an absence.
 */
export class GoProtocol implements Protocol, AsyncDisposable {
  readonly name: string;
  readonly #parts: RuleParts;
  readonly #options: GoOptions;
  readonly #table: RouteTable;
  readonly #fetcher: Fetcher;

  constructor(parts: RuleParts, options: GoOptions) {
    this.name = parts.settings.name;
    this.#parts = parts;
    this.#options = options;
    const checks = options.checks?.((name) => this.#readSumdb(name));
    this.#table = goRouteTable({
      sumdb: this.sumdbNames,
      relayed: options.sumdb.flatMap(({ name, relayed }) => (relayed === true ? [name] : [])),
      indexTtlMs: options.indexTtlMs,
      checks,
    });
    this.#fetcher = asModuleProxy(parts.held(withSumdbs(parts.fetcher, options.sumdb)));
  }

  /** Names of the checksum databases that are passed through. */
  get sumdbNames(): readonly string[] {
    return this.#options.sumdb.map(({ name }) => name);
  }

  /** Clients of those databases, which ask through this rule and believe only what is proven. Throws `invalid` where a key is not known. */
  openSumdbs(): readonly SumdbClient[] {
    return this.#options.sumdb.map((one) => openSumdb(one, this.#readSumdb(one.name)));
  }

  /** True: the checksums of the module, or of this version of it, are not looked up anywhere. Names unescaped. */
  hidesSums(module: string, version?: string | undefined): boolean {
    return this.#options.policies.hidesSums(module, version);
  }

  /** True: peers must not learn of it. */
  isPrivate(target: string): boolean {
    const asked = withoutCachedOnly(target);
    // They name private modules too, and what a peer keeps is its own business.
    if (listsKept(asked)) return true;
    const found = findRoute(this.#table, 'GET', asked);
    return found.found && this.#policyOf(found)?.private === true;
  }

  async handle(request: ProtocolRequest, options: CallOptions): Promise<ProtocolResponse> {
    const target = withoutCachedOnly(request.target);
    const cachedOnly = target !== request.target;
    const asked = cachedOnly ? { ...request, target } : request;
    const own = await answerKept(asked, this.#options.kept);
    if (own) return own;
    const found = findRoute(this.#table, asked.method, asked.target);
    if (!found.found) return refusal(this.#table, found);
    if (found.route.class === 'generated') return generated(found);
    const policy = this.#policyOf(found);
    await this.#admit(found, policy);
    const noFetch = cachedOnly || /^true$/i.test(asked.headers.get(DISABLE_FETCH)?.trim() ?? '');
    const supply = this.#supply(found, policy, asked, options, noFetch);
    if (found.route.name === SUPPORTED_RELAYED)
      return await this.#supported(asked, found, supply, options);
    const response = await this.#answer(asked, found, supply, options);
    // What a validator may yet refuse has to be asked about each time.
    return this.#parts.validator ? { ...response, replay: undefined } : response;
  }

  /** The same rule filled from another place: same keys, store, checks and first digests; no policies, modes and networks. */
  filledFrom(fetcher: Fetcher): Protocol {
    return {
      name: this.name,
      handle: async (request, options) => {
        const found = findRoute(this.#table, request.method, request.target);
        if (!found.found) return refusal(this.#table, found);
        if (found.route.class === 'generated') return generated(found);
        const { onlyIfCached, peer } = request;
        const { stasher } = this.#parts;
        const supply: Supply = { fetcher, stasher, onlyIfCached, peer, signal: options.signal };
        return await this.#pull(request, found, supply);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { owned } of this.#options.sumdb) await owned?.[Symbol.asyncDispose]();
  }

  // Through the rule's own routes, so that what clients ask for is there already, and the other way round.
  #readSumdb(name: string): SumdbRead {
    return async (path, { signal, maxBytes }) => {
      const target = `/sumdb/${name}${path}`;
      const request = ownRequest(target, this.#parts.base);
      const found = findRoute(this.#table, 'GET', target);
      if (!found.found) throw new ProxyError('internal', 'go-protocol.sumdb', found.reason);
      const { settings, stasher } = this.#parts;
      const { network } = settings;
      const supply = { fetcher: this.#fetcher, stasher, onlyIfCached: false, network, signal };
      const response = await this.#pull(request, found, supply);
      if (response.status === 200) return await readResponse(response, maxBytes + 1, signal);
      response.content?.close();
      if (response.status === 404 || response.status === 410) return undefined;
      throw new ProxyError(
        'upstream',
        'go-protocol.sumdb',
        `checksum database ${name} answered ${response.status}`,
      );
    };
  }

  // Whoever is cut off from the upstream goes by what is kept of its databases, which is good for ever.
  async #supported(
    request: ProtocolRequest,
    found: RouteFound,
    supply: Supply,
    options: CallOptions,
  ): Promise<ProtocolResponse> {
    if (supply.mode === 'none') return generated(found);
    try {
      return await this.#answer(request, found, supply, options);
    } catch (error) {
      if (request.onlyIfCached || !isOutage(error)) throw error;
      return generated(found);
    }
  }

  #policyOf({ params }: RouteFound): GoPolicy | undefined {
    const { module, version } = params;
    return module === undefined ? undefined : this.#options.policies.of(module, version);
  }

  async #admit({ route, params }: RouteFound, policy: GoPolicy | undefined): Promise<void> {
    const { module = '', version = '' } = params;
    const refused =
      route.name === 'sumdb-lookup'
        ? this.#options.policies.lookupRefusal(module, version)
        : policy?.deny;
    if (refused !== undefined) {
      this.#options.metrics.count('denied_total', this.name);
      throw new ProxyError('forbidden', 'go-protocol.admit', refused);
    }
    if (module !== '' && route.name !== 'sumdb-lookup')
      await this.#parts.validator?.check({ Module: module, Version: version });
  }

  #supply(
    { route }: RouteFound,
    policy: GoPolicy | undefined,
    request: ProtocolRequest,
    { signal }: CallOptions,
    noFetch: boolean,
  ): Supply {
    const { settings, stasher } = this.#parts;
    const network = policy?.network ?? settings.network;
    const mode = policy?.mode ?? settings.mode;
    // Lists and queries change: a client that is sent away from them now would not come back for the answer.
    const stays = route.class === 'index' && mode.startsWith('async');
    const sync = stays || (request.toKeep === true && mode !== 'none');
    return {
      fetcher: policy?.fetcher ? asModuleProxy(policy.fetcher) : this.#fetcher,
      stasher,
      onlyIfCached: request.onlyIfCached,
      peer: request.peer,
      // What is not here is absent to a go command: 404 lets it go on to the next proxy of its list.
      mode: noFetch || network === 'offline' ? 'none' : sync ? 'sync' : mode,
      network,
      signal,
    };
  }

  async #answer(
    request: ProtocolRequest,
    found: RouteFound,
    supply: Supply,
    options: CallOptions,
  ): Promise<ProtocolResponse> {
    const { route, params } = found;
    const { module } = params;
    const standIn = async (): Promise<ProtocolResponse | undefined> =>
      module !== undefined && (route.name === 'list' || route.name === 'latest')
        ? await answerFromKept(
            module,
            route.name,
            this.#options.kept,
            async (target) => await this.#askKept({ ...request, target }, options),
          )
        : undefined;
    if (supply.network === 'offline' && !request.onlyIfCached) {
      const kept = await standIn();
      if (kept) return kept;
    }
    try {
      return await this.#pull(request, found, supply);
    } catch (error) {
      const kept =
        supply.network === 'fallback' && !request.onlyIfCached && isOutage(error)
          ? await standIn()
          : undefined;
      if (kept) return kept;
      throw error;
    }
  }

  async #askKept(request: ProtocolRequest, { signal }: CallOptions): Promise<ProtocolResponse> {
    const found = findRoute(this.#table, 'GET', request.target);
    if (!found.found) return refusal(this.#table, found);
    const { stasher } = this.#parts;
    const supply: Supply = {
      fetcher: this.#fetcher,
      stasher,
      onlyIfCached: false,
      mode: 'none',
      signal,
    };
    return await this.#pull(request, found, supply);
  }

  async #pull(
    request: ProtocolRequest,
    found: RouteFound,
    supply: Supply,
  ): Promise<ProtocolResponse> {
    const { settings, pullThrough } = this.#parts;
    const subject = {
      namespace: settings.namespace ?? GO_NAMESPACE,
      key: found.key,
      rule: settings.name,
      edition: settings.edition,
    };
    return await pullThrough.answer(new TableResource(subject, request, found), supply);
  }
}

function withoutCachedOnly(target: string): string {
  return target.startsWith(CACHED_ONLY) ? target.slice(CACHED_ONLY.length - 1) : target;
}

function generated({ route }: RouteFound): ProtocolResponse {
  const answer = generatedAnswer(200, route.contentType, '');
  const headers = answer.headers.with('Cache-Control', servedCacheControl(route, route.ttlMs ?? 0));
  return { ...answer, headers };
}

function refusal(table: RouteTable, { why, reason }: RouteMissing): ProtocolResponse {
  const type = 'text/plain; charset=utf-8';
  if (why === 'path') return generatedAnswer(404, type, `not found: ${reason}\n`);
  const answer = generatedAnswer(405, type, `${reason}\n`);
  return { ...answer, headers: answer.headers.with('Allow', table.methods.join(', ')) };
}
