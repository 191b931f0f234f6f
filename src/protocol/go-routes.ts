import { readGoproxyPath } from '../gomod/goproxy-path.ts';
import { isVersionOf } from '../gomod/module-path.ts';
import {
  isSumdbLookup,
  isSumdbTile,
  readSumdbLookup,
  splitSumdbPath,
} from '../gomod/sumdb-path.ts';
import type { GoChecks } from './go-checks.ts';
import type { Route, RouteParams, RouteTable } from './route-table.ts';

/** What a rule says about its Go routes. */
export interface GoRouteOptions {
  /** Names of the checksum databases that are passed through, `host` or `host/path`. */
  readonly sumdb: readonly string[];
  /** Those of them of which the upstream says whether it passes them on. Absent: none; the configuration says so for each. */
  readonly relayed?: readonly string[] | undefined;
  /** Milliseconds for which lists and queries are fresh. Absent: 60 s. */
  readonly indexTtlMs?: number | undefined;
  /** What looks at files on their way in. Absent: nothing does. */
  readonly checks?: GoChecks | undefined;
}

const TEXT = 'text/plain; charset=utf-8';
const JSON_TEXT = 'application/json';
const SUMDB_PREFIX = 'sumdb/';
/** Name of the route that asks the upstream whether it passes a checksum database on. */
export const SUPPORTED_RELAYED = 'sumdb-relayed';

/** A version just tagged is seen within a minute. */
const INDEX_TTL_MS = 60_000;
/** What is not there yet may be published at any moment; a client that waits for it asks again soon. */
const NEGATIVE_INDEX_TTL_MS = 60_000;
const NEGATIVE_ARTIFACT_TTL_MS = 10_000;
/** Which databases are passed through changes only with the configuration. */
const SUPPORTED_TTL_MS = 3_600_000;

/** The Go module proxy protocol with its checksum databases, as https://go.dev/ref/mod describes it. Keys are escaped GOPROXY paths. */
export function goRouteTable(options: GoRouteOptions): RouteTable {
  const { checks } = options;
  const indexTtlMs = options.indexTtlMs ?? INDEX_TTL_MS;
  const index = {
    class: 'index',
    ttlMs: indexTtlMs,
    negativeTtlMs: NEGATIVE_INDEX_TTL_MS,
  } as const;
  const artifact = { class: 'artifact', negativeTtlMs: NEGATIVE_ARTIFACT_TTL_MS } as const;
  // The go command looks for a package's module in every folder above the package.
  const probed = true;
  return {
    name: 'go',
    methods: ['GET', 'HEAD'],
    routes: [
      moduleRoute({ ...index, probed, name: 'list', contentType: TEXT }, '/@v/list'),
      moduleRoute({ ...index, probed, name: 'latest', contentType: JSON_TEXT }, '/@latest'),
      moduleRoute(
        {
          ...{ ...artifact, probed, name: 'info', contentType: JSON_TEXT },
          inspector: (params) => checks?.info(params),
        },
        '.info',
        isVersionOf,
      ),
      moduleRoute({ ...index, probed, name: 'query', contentType: JSON_TEXT }, '.info'),
      moduleRoute(
        {
          ...{ ...artifact, name: 'mod', contentType: TEXT, promise: 'pinned' },
          inspector: () => checks?.mod(),
          confirmation: (params) => checks?.confirmation('mod', params),
        },
        '.mod',
      ),
      moduleRoute(
        {
          ...{ ...artifact, name: 'zip', contentType: 'application/zip', promise: 'pinned' },
          inspector: (params) => checks?.zip(params),
          confirmation: (params) => checks?.confirmation('zip', params),
        },
        '.zip',
      ),
      sumdbRoute(
        {
          ...{ ...index, probed, name: SUPPORTED_RELAYED, contentType: TEXT },
          ttlMs: SUPPORTED_TTL_MS,
        },
        options.relayed ?? [],
        (rest) => rest === 'supported',
      ),
      sumdbRoute(
        {
          class: 'generated',
          ttlMs: SUPPORTED_TTL_MS,
          negativeTtlMs: 0,
          name: 'sumdb-supported',
          contentType: TEXT,
        },
        options.sumdb,
        (rest) => rest === 'supported',
      ),
      sumdbRoute(
        { ...index, name: 'sumdb-latest', contentType: TEXT },
        options.sumdb,
        (rest) => rest === 'latest',
      ),
      sumdbRoute(
        {
          ...{ ...artifact, name: 'sumdb-lookup', contentType: TEXT },
          inspector: (params) => checks?.lookup(params),
        },
        options.sumdb,
        isSumdbLookup,
      ),
      sumdbRoute(
        {
          ...artifact,
          name: 'sumdb-tile',
          contentType: 'application/octet-stream',
          promise: 'pinned',
          inspector: (params) => checks?.tile(params),
        },
        options.sumdb,
        isSumdbTile,
      ),
    ],
    explain: (path) => explain(path, options.sumdb),
  };
}

type RouteFacts = Omit<Route, 'match' | 'key' | 'promise'> & Partial<Pick<Route, 'promise'>>;

/** A route of one kind of module file; `accepts` narrows it to some versions. */
function moduleRoute(
  facts: RouteFacts,
  ending: string,
  accepts: (module: string, version: string) => boolean = () => true,
): Route {
  return {
    promise: 'none',
    ...facts,
    match: (path) => {
      if (!path.endsWith(ending)) return undefined;
      const read = readGoproxyPath(path);
      if ('reason' in read) return undefined;
      if (!('version' in read)) return { module: read.module, path };
      const { module, version } = read;
      return accepts(module, version) ? { module, version, path } : undefined;
    },
    key: pathOf,
  };
}

function sumdbRoute(
  facts: RouteFacts,
  names: readonly string[],
  accepts: (rest: string) => boolean,
): Route {
  return {
    promise: 'none',
    ...facts,
    match: (path) => {
      if (!path.startsWith(SUMDB_PREFIX)) return undefined;
      const split = splitSumdbPath(path.slice(SUMDB_PREFIX.length), names);
      if (split === undefined || !accepts(split.rest)) return undefined;
      const { name, rest } = split;
      return { name, rest, path, ...readSumdbLookup(rest) };
    },
    key: pathOf,
  };
}

/** A path that a route matched is in its one spelling: its escapes were checked. */
function pathOf(params: RouteParams): string {
  return params['path'] ?? '';
}

function explain(path: string, names: readonly string[]): string {
  if (path.startsWith(SUMDB_PREFIX)) {
    const split = splitSumdbPath(path.slice(SUMDB_PREFIX.length), names);
    return split === undefined ? 'checksum database not configured' : 'malformed checksum request';
  }
  const read = readGoproxyPath(path);
  return 'reason' in read ? read.reason : 'no such endpoint';
}
