import type { BodyInspector, Findings } from '../stashers/body-inspector.ts';

/**
 * How the answers of a route are kept: `artifact` never changes, `index` changes and is asked again after its lifetime,
 * `derived` is made from another answer, `generated` is made by the node, `pass` and `write` are never kept.
 */
export type RouteClass = 'artifact' | 'index' | 'derived' | 'generated' | 'pass' | 'write';

/** What is known of the bytes before they come: `pinned` means that the first digest of a key binds all later ones. */
export type RoutePromise = 'pinned' | 'none';

/** Parts of a path by name, unescaped. */
export type RouteParams = Readonly<Record<string, string>>;

/** One line of a protocol's table. */
export interface Route {
  readonly name: string;
  readonly class: RouteClass;
  /** Milliseconds for which an answer is fresh. Absent: for good. */
  readonly ttlMs?: number | undefined;
  /** Milliseconds for which a 404 or 410 is fresh; 0: it is not kept. */
  readonly negativeTtlMs: number;
  /**
   * True: clients ask for what does not exist on their way to what does, so an absence outlives a restart and stands in
   * when the upstream fails. Absent: it is held in memory.
   */
  readonly probed?: boolean | undefined;
  /** Type of the node's own answer, and of an upstream's that names none. */
  readonly contentType: string;
  readonly promise: RoutePromise;
  /** Name of the change that a body undergoes on its way out. Absent: bytes pass. */
  readonly rewrite?: string | undefined;
  /** What looks at the body of a 200 on its way in. Absent: nothing does. */
  inspector?(params: RouteParams): BodyInspector | undefined;
  /** What has to agree before the last byte of a 200 goes out. Absent: nothing has to. */
  confirmation?(params: RouteParams): ((findings: Findings) => Promise<void>) | undefined;
  /** The parts of a path without its leading slash and query, percent-decoded. Absent: not this route. */
  match(path: string): RouteParams | undefined;
  /** Key of the answer below the protocol's namespace. */
  key(params: RouteParams): string;
}

/** A protocol as a table: the first route that matches serves. */
export interface RouteTable {
  readonly name: string;
  readonly methods: readonly string[];
  readonly routes: readonly Route[];
  /** Why a path has no route, in a few words for the person who asked. */
  explain(path: string): string;
}

/** A route and what it read from the path. */
export interface RouteFound {
  readonly found: true;
  readonly route: Route;
  readonly params: RouteParams;
  readonly key: string;
}

/** No route: the request is answered without asking the upstream. */
export interface RouteMissing {
  readonly found: false;
  readonly why: 'method' | 'path';
  readonly reason: string;
}

/** Seconds in a year: as long as anything is promised, RFC 9111 §1.2.2 and RFC 8246. */
const FOREVER_SECONDS = 31_536_000;

/** Finds the route of a request; `target` is path and query as the client sent them, the query plays no part. */
export function findRoute(
  table: RouteTable,
  method: string,
  target: string,
): RouteFound | RouteMissing {
  if (!table.methods.includes(method))
    return missing('method', `${table.name} answers ${table.methods.join(' and ')} only`);
  const path = decodePath(target.split('?', 1)[0] ?? '');
  if (path === undefined) return missing('path', 'malformed escape in path');
  for (const route of table.routes) {
    const params = route.match(path);
    if (params !== undefined) return { found: true, route, params, key: route.key(params) };
  }
  return missing('path', table.explain(path));
}

/** Path to ask an upstream for, with a leading slash: the key with what a URL cannot carry percent-encoded. */
export function upstreamPath(key: string): string {
  return `/${key.split('/').map(encodeSegment).join('/')}`;
}

/** Cache-Control that clients get. `lifetimeMs`: milliseconds for which the answer is fresh, its age included. */
export function servedCacheControl(route: Route, lifetimeMs: number): string {
  switch (route.class) {
    case 'artifact':
      return `public, max-age=${FOREVER_SECONDS}, immutable`;
    case 'index':
    case 'derived':
    case 'generated':
      return `public, max-age=${Math.max(0, Math.floor(lifetimeMs / 1000))}`;
    case 'pass':
    case 'write':
      return 'no-store';
  }
}

/** A slash that is spelled `%2F` would move to another route than the one the client means. */
function decodePath(path: string): string | undefined {
  if (!path.startsWith('/') || /%(?:2f|5c|00)/i.test(path)) return undefined;
  try {
    return decodeURIComponent(path.slice(1));
  } catch {
    return undefined;
  }
}

function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(/%(?:40|2B|3D|24|26|2C)/g, decodeURIComponent);
}

function missing(why: 'method' | 'path', reason: string): RouteMissing {
  return { found: false, why, reason };
}
