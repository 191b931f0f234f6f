import type { CallOptions } from '../body.ts';
import { messageOf, ProxyError } from '../errors.ts';
import { discard } from './discard.ts';
import type { Fetched, Fetcher, FetchRequest } from './fetcher.ts';
import { askGoEnv } from './go-env.ts';
import { type GoproxyEntry, type GoproxyList, parseGoproxyList } from './goproxy-list.ts';
import type { Environment } from './http-proxy.ts';
import { locateFirst } from './locate.ts';
import { isRepeatable } from './with-retry.ts';

/** What an upstreams fetcher is made with. */
export interface UpstreamsOptions {
  readonly name: string;
  readonly list: GoproxyList;
  /** Makes the fetcher of one place; closed with the whole when it is an `AsyncDisposable`. */
  open(entry: GoproxyEntry): Fetcher | (Fetcher & AsyncDisposable);
  /** Where the list came from, for the reason that it cannot be used: `go env GOPROXY`. */
  readonly origin: string;
  /** Asked where the list says `direct`; closed by whoever made it. Absent: `direct` was left out of the list. */
  readonly direct?: Fetcher | undefined;
}

interface Upstream {
  readonly fetcher: Fetcher | (Fetcher & AsyncDisposable);
  readonly next: 'absent' | 'any';
  /** True: closed with the whole. */
  readonly owned: boolean;
}

/** Asks the places of a GOPROXY list in their order. The answer of the last one asked is handed on as it is. */
export class UpstreamsFetcher implements Fetcher, AsyncDisposable {
  readonly name: string;
  /** Addresses in order, without credentials; for `direct` the name of the fetcher that takes its place. */
  readonly upstreams: readonly string[];
  /** What of the list was left out and why. */
  readonly notes: readonly string[];
  /** False: the list names no place; `reason` says why. */
  readonly usable: boolean;
  /** Why it cannot be used. Absent: it can. */
  readonly reason: string | undefined;
  readonly #links: readonly Upstream[];

  constructor(options: UpstreamsOptions) {
    const { entries, notes } = options.list;
    this.name = options.name;
    this.notes = notes;
    const direct = options.list.direct === true ? options.direct : undefined;
    const last = direct === undefined ? [] : [direct];
    this.upstreams = [
      ...entries.map(({ url }) => publicAddress(url)),
      ...last.map(({ name }) => name),
    ];
    this.usable = this.upstreams.length > 0;
    this.reason = this.usable ? undefined : `${options.origin} names no module proxy`;
    this.#links = [
      ...entries.map((entry) => ({ fetcher: options.open(entry), next: entry.next, owned: true })),
      ...last.map((fetcher) => ({ fetcher, next: 'absent' as const, owned: false })),
    ];
  }

  async fetch(request: FetchRequest, options: CallOptions = {}): Promise<Fetched> {
    const last = isRepeatable(request) ? this.#links.length - 1 : 0;
    for (const [at, { fetcher, next }] of this.#links.entries()) {
      try {
        const fetched = await fetcher.fetch(request, options);
        if (at >= last || !goesOn(fetched.status, next)) return fetched;
        discard(fetched.body);
      } catch (error) {
        if (at >= last || next !== 'any' || options.signal?.aborted === true) throw error;
      }
    }
    const why = this.reason ?? 'no upstream answered';
    throw new ProxyError('unavailable', 'upstreams-fetcher.fetch', why);
  }

  /** The first place that a client could ask. */
  async locate(request: FetchRequest, options?: CallOptions): Promise<URL | undefined> {
    return await locateFirst(
      this.#links.map(({ fetcher }) => fetcher),
      request,
      options,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { fetcher, owned } of this.#links) {
      if (owned && Symbol.asyncDispose in fetcher) await fetcher[Symbol.asyncDispose]();
    }
  }
}

/**
 * The list of a literal text, or of `go env` when it is `go-env`; what is wrong in the latter becomes a note. `direct`:
 * whether there is something for that word.
 */
export async function resolveGoproxyList(
  list: string,
  env: Environment,
  options: { readonly direct?: boolean | undefined } = {},
): Promise<{ readonly list: GoproxyList; readonly origin: string }> {
  if (list !== 'go-env') return { list: parseGoproxyList(list, options), origin: 'the list' };
  const { value, why } = await askGoEnv('GOPROXY', env);
  const unset = value === '' ? ', and the variable GOPROXY is not set' : '';
  const origin = why === undefined ? 'go env GOPROXY' : `go env GOPROXY (${why}${unset})`;
  try {
    return { list: parseGoproxyList(value, options), origin };
  } catch (error) {
    return { list: { entries: [], notes: [messageOf(error)] }, origin };
  }
}

function goesOn(status: number, next: 'absent' | 'any'): boolean {
  return status === 404 || status === 410 || (next === 'any' && status >= 400);
}

function publicAddress(url: URL): string {
  const address = new URL(url);
  address.username = '';
  address.password = '';
  return address.href;
}
