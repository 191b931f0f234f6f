import type { HeaderList } from '../headers.ts';
import { parseCacheControl, secondsOf } from './cache-control.ts';

/** Why a request goes past the cache: neither answered from it nor kept. */
export type BypassReason = 'cookie' | 'authorization' | 'precondition' | 'altered';

/** What a request wants of the cache, RFC 9111 §5.2.1. Seconds. */
export interface RequestJudgement {
  /** Absent: the cache may be used. */
  readonly bypass?: BypassReason | undefined;
  readonly noStore: boolean;
  readonly onlyIfCached: boolean;
  readonly noCache: boolean;
  /** Absent: any age will do. */
  readonly maxAge?: number | undefined;
  readonly minFresh?: number | undefined;
  /** Infinity: however stale. Absent: not stale. */
  readonly maxStale?: number | undefined;
}

/** What a rule says about requests; the defaults are the safe ones. */
export interface RequestOptions {
  /** False: no-cache, max-age, min-fresh and Pragma are ignored. */
  readonly honorClientReload: boolean;
  /** Absent: `bypass`. */
  readonly cookies?: 'bypass' | 'ignore' | undefined;
  /** Absent: `strict`, in which requests with credentials go past the cache. */
  readonly profile?: 'strict' | 'rfc' | undefined;
}

/** Fields by which frameworks let a client change the method or the target; the key does not hold them. */
export const ALTERING_FIELDS: readonly string[] = [
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
  'x-original-uri',
  'x-rewrite-uri',
];

/** Reads what a request wants of the cache. Pragma counts only without Cache-Control, RFC 9111 §5.4. */
export function judgeRequest(headers: HeaderList, options: RequestOptions): RequestJudgement {
  const value = headers.get('cache-control');
  const directives = parseCacheControl(value);
  const reload = options.honorClientReload;
  const pragma = value === undefined && parseCacheControl(headers.get('pragma')).has('no-cache');
  const maxStale = directives.get('max-stale');
  return {
    bypass: bypassOf(headers, options),
    noStore: directives.has('no-store'),
    onlyIfCached: directives.has('only-if-cached'),
    noCache: reload && (directives.has('no-cache') || pragma),
    maxAge: reload ? secondsOf(directives, 'max-age') : undefined,
    minFresh: reload ? secondsOf(directives, 'min-fresh') : undefined,
    maxStale: maxStale === true ? Infinity : secondsOf(directives, 'max-stale'),
  };
}

/** The first field that may make the origin read another method or target than the key names. Absent: none. */
export function alteredBy(headers: HeaderList): string | undefined {
  return ALTERING_FIELDS.find((name) => headers.has(name));
}

function bypassOf(headers: HeaderList, options: RequestOptions): BypassReason | undefined {
  if (options.profile !== 'rfc' && headers.has('authorization')) return 'authorization';
  if (options.cookies !== 'ignore' && headers.has('cookie')) return 'cookie';
  // RFC 9110 §13.1.1, §13.1.4: only the origin knows the state that these ask about.
  if (headers.has('if-match') || headers.has('if-unmodified-since')) return 'precondition';
  return alteredBy(headers) === undefined ? undefined : 'altered';
}
