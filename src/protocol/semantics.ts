import CachePolicy from 'http-cache-semantics';
import type { HeaderList } from '../headers.ts';
import {
  type CacheControl,
  fieldsNamedBy,
  formatCacheControl,
  parseCacheControl,
} from './cache-control.ts';
import { guessLimit, HEURISTIC_FRACTION, keptByDefault, mayGuess } from './heuristic.ts';
import { formatHttpDate, parseHttpDate } from './http-date.ts';
import { HTTP_SETTINGS, type HttpSettings } from './http-settings.ts';
import { targetedControl } from './targeted-control.ts';

// Everything that is put right of http-cache-semantics, one function for each correction. The library is told only what it
// reads rightly, and asked only two things: may a shared cache keep this, and for how long is it fresh. What it says of
// requests, revalidation, ages and fields that go out is not asked at all: entry-use.ts, revalidation.ts, age.ts.

/** `strict`: kept only if the answer says so. `rfc`: all that RFC 9111 allows, with guessed lifetimes. */
export type FreshnessProfile = 'strict' | 'rfc';

/** What becomes of requests with cookies: passed by the cache, or treated as if they had none. */
export type CookieMode = 'bypass' | 'ignore';

/** An answer whose head has arrived; times are milliseconds since the epoch. */
export interface ArrivedResponse extends Partial<Pick<HttpSettings, 'setCookie' | 'targets'>> {
  readonly method: string;
  readonly requestHeaders: HeaderList;
  readonly status: number;
  readonly responseHeaders: HeaderList;
  readonly profile: FreshnessProfile;
  readonly requestedAt: number;
  readonly receivedAt: number;
  /** Milliseconds that these times lie before the machine's clock. Absent: none. */
  readonly clockAhead?: number | undefined;
  readonly cookies: CookieMode;
}

/** What an answer says of its own keeping. */
export interface Reading {
  /** What counts: Cache-Control, or the field that stands in for it; without directives about single fields. */
  readonly directives: CacheControl;
  /** Lower-case names of fields that only the one who asked may see, or that must not be used again unasked. */
  readonly withheld: readonly string[];
  /** True: it names a lifetime, or asks to be kept and always asked about. */
  readonly explicit: boolean;
  /** True: RFC 9111 §3 allows a shared cache to keep it, as far as status, directives and Authorization go. */
  readonly storable: boolean;
  /** Seconds of freshness, RFC 9111 §4.2.1; a guess (§4.2.2) within its limit. */
  readonly lifetime: number;
}

/** Directives that the library reads rightly, given one clean line. */
const DIRECTIVES_TOLD = [
  'max-age',
  's-maxage',
  'public',
  'private',
  'no-store',
  'no-cache',
  'must-revalidate',
] as const;

/** Directives that may be about single fields, RFC 9111 §5.2.2.4, §5.2.2.7. */
const QUALIFIED = ['private', 'no-cache'] as const;

/** Fields without which an answer is another one: a directive about one of them covers the whole answer. */
const INSEPARABLE = new Set([
  'age',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'vary',
]);

/** Stand-ins that the library knows: one that is kept by default, one that needs leave. */
const STATUS_KEPT_BY_DEFAULT = 200;
const STATUS_NEEDS_LEAVE = 302;

/** Statuses beside those kept by default whose caching this node implements in full, RFC 9111 §5.2.2.3. */
const UNDERSTOOD = new Set([302, 303, 307]);

/** Reads an answer: the library's verdict with every correction. */
export function readAnswer(response: ArrivedResponse): Reading {
  const targeted = targetedDirectives(response);
  const said = withoutLiftedNoStore(targeted ?? cleanDirectives(response), response);
  const directives = withoutQualified(said);
  const expires = targeted === undefined ? plainExpires(response) : undefined;
  const explicit = expires !== undefined || namesLifetime(directives);
  const library = askLibrary(response, directives, expires);
  const lifetime = Math.max(0, library.maxAge());
  return {
    directives,
    withheld: withheldFields(said),
    explicit,
    storable: library.storable(),
    lifetime: explicit ? lifetime : Math.min(lifetime, guessLimit(response.status)),
  };
}

/** True: the caching of this status is implemented in full, RFC 9111 §5.2.2.3. */
export function understands(status: number): boolean {
  return keptByDefault(status) || UNDERSTOOD.has(status);
}

/**
 * RFC 9111 §5.2: names in any case, commas within quotes, broken and repeated numbers; several lines are one list. The library
 * takes `No-Store` for nothing, splits at every comma, and reads `60a` as 60.
 */
export function cleanDirectives({ responseHeaders }: ArrivedResponse): CacheControl {
  return parseCacheControl(responseHeaders.get('cache-control'));
}

/** RFC 9213 §2.2: a field for caches like this one stands in for Cache-Control. The library knows none. Absent: there is none. */
export function targetedDirectives({
  responseHeaders,
  targets = HTTP_SETTINGS.targets,
}: ArrivedResponse): CacheControl | undefined {
  return targetedControl(responseHeaders, targets);
}

/** RFC 9111 §5.2.2.3: must-understand lifts no-store where the status is understood. The library knows no must-understand. */
export function withoutLiftedNoStore(
  directives: CacheControl,
  { profile, status }: Pick<ArrivedResponse, 'profile' | 'status'>,
): CacheControl {
  const isLifted = profile === 'rfc' && directives.has('must-understand') && understands(status);
  return isLifted ? without(directives, ['no-store']) : directives;
}

/** RFC 9111 §5.2.2.4, §5.2.2.7: `private="f"` and `no-cache="f"` are about f alone. The library refuses the whole answer. */
export function withoutQualified(directives: CacheControl): CacheControl {
  const qualified = QUALIFIED.filter((name) => separableFields(directives, name).length > 0);
  return qualified.length === 0 ? directives : without(directives, qualified);
}

/** The fields that those directives are about, lower-case. */
export function withheldFields(directives: CacheControl): readonly string[] {
  return QUALIFIED.flatMap((name) => separableFields(directives, name));
}

/**
 * RFC 9111 §5.2.2.2, §5.2.2.8: must-revalidate and proxy-revalidate say nothing about a fresh answer. The library gives one
 * with proxy-revalidate no lifetime, so it is not told; nor of arguments in quotes, whose commas it takes for separators.
 */
export function plainDirectives(directives: CacheControl): CacheControl {
  const plain = new Map<string, string | true>();
  for (const name of DIRECTIVES_TOLD) {
    const value = directives.get(name);
    if (value !== undefined) plain.set(name, name.endsWith('age') ? value : true);
  }
  return plain;
}

/** RFC 9110 §6.6.1: the time of arrival stands in for a Date that is missing or broken. */
export function plainDate({
  responseHeaders,
  receivedAt,
  clockAhead = 0,
}: ArrivedResponse): string {
  const date = parseHttpDate(responseHeaders.getAll('date')[0] ?? '', receivedAt);
  return formatHttpDate(date ?? receivedAt - clockAhead);
}

/**
 * RFC 9111 §5.3: anything but one valid date, of the three forms of RFC 9110 §5.6.7, means expired. The library takes what
 * Date.parse takes. Absent: no such field.
 */
export function plainExpires({ responseHeaders, receivedAt }: ArrivedResponse): string | undefined {
  const lines = responseHeaders.getAll('expires');
  if (lines.length === 0) return undefined;
  const date = lines.length === 1 ? parseHttpDate(lines[0] ?? '', receivedAt) : undefined;
  return date === undefined ? '0' : formatHttpDate(date);
}

/** RFC 9111 §4.2.2: the date to guess from. Absent: nothing may be guessed. */
export function guessBase(
  { status, profile, responseHeaders, receivedAt }: ArrivedResponse,
  directives: CacheControl,
): string | undefined {
  if (profile === 'strict' || !mayGuess(status, directives.has('public'))) return undefined;
  const date = parseHttpDate(responseHeaders.getAll('last-modified')[0] ?? '', receivedAt);
  return date === undefined ? undefined : formatHttpDate(date);
}

/** RFC 9111 §3: any final status may be kept with leave. The library knows fourteen. */
export function plainStatus(status: number): number {
  return keptByDefault(status) ? STATUS_KEPT_BY_DEFAULT : STATUS_NEEDS_LEAVE;
}

function askLibrary(
  response: ArrivedResponse,
  directives: CacheControl,
  expires: string | undefined,
): CachePolicy {
  const told: Record<string, string> = { date: plainDate(response) };
  const cacheControl = formatCacheControl(plainDirectives(directives));
  if (cacheControl !== undefined) told['cache-control'] = cacheControl;
  if (expires !== undefined) told['expires'] = expires;
  const lastModified = guessBase(response, directives);
  if (lastModified !== undefined) told['last-modified'] = lastModified;
  // RFC 9111 §3.5: it takes no part but this in storing; what it holds is kept from the library, which would keep it on record.
  const authorized = response.requestHeaders.has('authorization');
  return new CachePolicy(
    { method: 'GET', url: '/', headers: authorized ? { authorization: 'yes' } : {} },
    { status: plainStatus(response.status), headers: told },
    // RFC 8246 §2: immutable gives no lifetime of its own. The library gives it 1000 days.
    { shared: true, cacheHeuristic: HEURISTIC_FRACTION, immutableMinTimeToLive: 0 },
  );
}

function separableFields(directives: CacheControl, name: string): readonly string[] {
  const fields = fieldsNamedBy(directives, name);
  return fields.some((field) => INSEPARABLE.has(field)) ? [] : fields;
}

function namesLifetime(directives: CacheControl): boolean {
  return directives.has('max-age') || directives.has('s-maxage') || directives.has('no-cache');
}

function without(directives: CacheControl, names: readonly string[]): CacheControl {
  return new Map([...directives].filter(([name]) => !names.includes(name)));
}
