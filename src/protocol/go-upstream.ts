import { pipeline, type Transform } from 'node:stream';
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from 'node:zlib';
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
  /** True: nobody configured it, so the upstream says whether it is passed on. Absent: it is. */
  readonly relayed?: boolean | undefined;
  /** Closed with the protocol. */
  readonly owned?: AsyncDisposable | undefined;
}

/** A client of a database that believes only what is proven. Throws `invalid` where its key is not known. */
export function openSumdb({ name, key = name }: Sumdb, read: SumdbRead): SumdbClient {
  return new SumdbClient({ key, read });
}

/** How codings that nobody asked for are taken off. */
const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip(),
  'x-gzip': () => createGunzip(),
  deflate: () => createInflate(),
  br: () => createBrotliDecompress(),
  zstd: () => createZstdDecompress(),
};

/**
 * A place as a module proxy has to be read. An outage stays an error: a client told 404 or given an empty answer would go
 * elsewhere, or cache it. A content coding is taken off, since digests and hashes are those of the file. A Location is made
 * absolute, as clients know it by another path. How long a cache in between had an answer is not how long it is good for here.
 */
export function asModuleProxy(inner: Fetcher): Fetcher {
  const locate = inner.locate?.bind(inner);
  return {
    name: inner.name,
    locate,
    async fetch(request, options) {
      const fetched = await inner.fetch(request, options);
      if (fetched.miss === true) return fetched;
      if (fetched.status >= 500) throw outage(fetched, request);
      if (fetched.fromPeer === true) return fetched;
      const plain = decoded({ ...fetched, headers: fetched.headers.without('age') }, request);
      const location = plain.headers.get('location');
      if (location === undefined || URL.canParse(location)) return plain;
      const base = await locate?.(request, options);
      if (base === undefined || !URL.canParse(location, base.href)) return plain;
      const { href } = new URL(location, base);
      return { ...plain, headers: plain.headers.with('Location', href) };
    },
  };
}

function outage({ status, body }: Fetched, { path }: FetchRequest): ProxyError {
  body.destroy();
  return new ProxyError(
    'upstream',
    'go-protocol.fetch',
    `the upstream answered ${status} for ${path}`,
  );
}

function decoded(fetched: Fetched, { method }: FetchRequest): Fetched {
  const coding = fetched.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (coding === '' || coding === 'identity') return fetched;
  const decoder = DECODERS[coding]?.();
  if (decoder === undefined) {
    fetched.body.destroy();
    throw new ProxyError(
      'upstream',
      'go-protocol.fetch',
      `the upstream sent content coding ${JSON.stringify(coding)}, which nobody asked for`,
    );
  }
  const headers = fetched.headers.without('content-encoding', 'content-length');
  // They name a coding and have no body, which no decoder takes for an end.
  const bodiless = method === 'HEAD' || fetched.status === 304 || fetched.status === 204;
  if (bodiless) return { ...fetched, headers };
  // What fails is told by the decoder's own error, and by nobody where no one reads.
  decoder.on('error', () => undefined);
  pipeline(fetched.body, decoder, () => undefined);
  return { ...fetched, headers, body: decoder };
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
