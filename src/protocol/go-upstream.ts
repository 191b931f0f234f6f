import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Fetched, Fetcher, FetchRequest } from '../fetchers/fetcher.ts';
import { SumdbClient } from '../gomod/sumdb-client.ts';
import { splitSumdbPath } from '../gomod/sumdb-path.ts';
import type { SumdbRead } from '../gomod/sumdb-tiles.ts';

/** One checksum database that is passed through. */
export interface Sumdb {
  /** `host` or `host/path`, as GOSUMDB has it. */
  readonly name: string;
  /** Verifier key. Absent: the one that the go command knows for the name, if any. */
  readonly key?: string | undefined;
  /** Where it is asked. Absent: at the rule's own fetcher, below `/sumdb/<name>`. */
  readonly fetcher?: Fetcher | undefined;
  /** Closed with the protocol. */
  readonly owned?: AsyncDisposable | undefined;
}

/** A client of a database that believes only what is proven. Throws `invalid` where its key is not known. */
export function openSumdb({ name, key = name }: Sumdb, read: SumdbRead): SumdbClient {
  return new SumdbClient({ key, read });
}

/** An outage must stay an error: a client told 404 or given an empty answer would go elsewhere, or cache it. */
export function withOutages(inner: Fetcher): Fetcher {
  return {
    name: inner.name,
    locate: inner.locate?.bind(inner),
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

/** Asks each checksum database that has a place of its own there. */
export function withSumdbs(inner: Fetcher, sumdbs: readonly Sumdb[]): Fetcher {
  const own = new Map(
    sumdbs.flatMap(({ name, fetcher }) => (fetcher ? [[name, fetcher] as const] : [])),
  );
  if (own.size === 0) return inner;
  const names = sumdbs.map(({ name }) => name);
  const placeOf = (request: FetchRequest): readonly [Fetcher, FetchRequest] => {
    const split = request.path.startsWith('/sumdb/')
      ? splitSumdbPath(decodeURIComponent(request.path.slice('/sumdb/'.length)), names)
      : undefined;
    const fetcher = split && own.get(split.name);
    return fetcher ? [fetcher, { ...request, path: `/${split.rest}` }] : [inner, request];
  };
  return {
    name: inner.name,
    async fetch(request: FetchRequest, options?: CallOptions): Promise<Fetched> {
      const [fetcher, asked] = placeOf(request);
      return await fetcher.fetch(asked, options);
    },
    async locate(request: FetchRequest, options?: CallOptions): Promise<URL | undefined> {
      const [fetcher, asked] = placeOf(request);
      return await fetcher.locate?.(asked, options);
    },
  };
}
