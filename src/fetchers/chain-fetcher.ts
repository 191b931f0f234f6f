import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import { discard } from './discard.ts';
import type { Fetched, Fetcher, FetchOptions, FetchRequest } from './fetcher.ts';
import { locateFirst } from './locate.ts';
import { isRepeatable } from './with-retry.ts';

/** Optional ability: a fetcher that asks differently when another stands behind it, and whose failure never decides. */
export interface ChainLink {
  /** The same place, asked as the last of its chain (it shall fill) or before others (it only looks). */
  inChain(last: boolean): Fetcher;
}

/** Whether a fetcher knows its place in a chain: peers do. */
export function isChainLink(fetcher: Fetcher): fetcher is Fetcher & ChainLink {
  return typeof (fetcher as Partial<ChainLink>).inChain === 'function';
}

/** How a chain goes on. */
export interface ChainOptions {
  /** `any`: the next one is asked after any failure, not only a peer's. */
  readonly fallthrough?: 'any' | undefined;
}

interface Link {
  readonly fetcher: Fetcher;
  readonly peer: boolean;
}

/**
 * Asks one fetcher after the other. The next one is asked on 404, 410 and a miss, on any failure of a peer (its
 * 5xx among them), and with `fallthrough: any` on each failure. The last answer counts, whatever it is.
 */
export class ChainFetcher implements Fetcher {
  readonly name: string;
  readonly #links: readonly Link[];
  readonly #any: boolean;

  /** Throws `invalid` for an empty list. */
  constructor(fetchers: readonly Fetcher[], options: ChainOptions = {}) {
    if (fetchers.length === 0) {
      throw new ProxyError('invalid', 'chain-fetcher.new', 'a chain needs at least one fetcher');
    }
    this.name = fetchers.map((fetcher) => fetcher.name).join(', ');
    this.#any = options.fallthrough === 'any';
    this.#links = fetchers.map((fetcher, at) =>
      isChainLink(fetcher)
        ? { fetcher: fetcher.inChain(at === fetchers.length - 1), peer: true }
        : { fetcher, peer: false },
    );
  }

  async fetch(request: FetchRequest, options: FetchOptions = {}): Promise<Fetched> {
    if (!isRepeatable(request)) return await this.#pass(request, options);
    const last = this.#links.length - 1;
    for (const [at, { fetcher, peer }] of this.#links.entries()) {
      try {
        // Of a peer it is sure only when it says so.
        if (!peer) options.begun?.();
        const fetched = await fetcher.fetch(request, options);
        if (at === last || !goesOn(fetched, peer)) return fetched;
        discard(fetched.body);
      } catch (error) {
        if (at === last || !(peer || this.#any) || options.signal?.aborted === true) throw error;
      }
    }
    throw new ProxyError('internal', 'chain-fetcher.fetch', 'the chain ended without an answer');
  }

  /** The first place that a client could ask: none of the peers. */
  async locate(request: FetchRequest, options?: CallOptions): Promise<URL | undefined> {
    return await locateFirst(
      this.#links.map(({ fetcher }) => fetcher),
      request,
      options,
    );
  }

  /** What may not be sent twice goes to the first place that is no cache of others. */
  async #pass(request: FetchRequest, options: FetchOptions): Promise<Fetched> {
    const link = this.#links.find(({ peer }) => !peer);
    if (link !== undefined) return await link.fetcher.fetch(request, options);
    throw new ProxyError(
      'unsupported',
      'chain-fetcher.fetch',
      `a peer answers GET and HEAD alone: ${request.method} needs an origin in the rule's fetch list`,
    );
  }
}

function goesOn(fetched: Fetched, peer: boolean): boolean {
  if (fetched.miss === true || fetched.status === 404 || fetched.status === 410) return true;
  return peer && fetched.status >= 500;
}
