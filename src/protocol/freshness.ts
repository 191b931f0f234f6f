import CachePolicy from 'http-cache-semantics';
import type { HeaderList } from '../headers.ts';
import type { EntryPolicy } from '../manifest/entry.ts';
import { initialAge } from './age.ts';
import {
  type CacheControl,
  formatCacheControl,
  parseCacheControl,
  secondsOf,
} from './cache-control.ts';
import { HEURISTIC_FRACTION, HEURISTIC_LIMIT, keptByDefault, mayGuess } from './heuristic.ts';
import { formatHttpDate, parseHttpDate } from './http-date.ts';
import { alteredBy } from './request-directives.ts';
import { varyNames } from './vary.ts';

/** `strict`: kept only if the answer says so. `rfc`: all that RFC 9111 allows, with guessed lifetimes. */
export type FreshnessProfile = 'strict' | 'rfc';

/** What becomes of requests with cookies: passed by the cache, or treated as if they had none. */
export type CookieMode = 'bypass' | 'ignore';

/** Why an answer is not kept. */
export type Refusal =
  | 'method'
  | 'status'
  | 'request-no-store'
  | 'request-altered'
  | 'cookie'
  | 'authorization'
  | 'no-store'
  | 'private'
  | 'set-cookie'
  | 'vary-any'
  | 'origin-specific'
  | 'no-lifetime'
  | 'no-validator'
  | 'already-stale';

/** An answer whose head has arrived; times are milliseconds since the epoch. */
export interface ArrivedResponse {
  readonly method: string;
  readonly requestHeaders: HeaderList;
  readonly status: number;
  readonly responseHeaders: HeaderList;
  readonly profile: FreshnessProfile;
  readonly requestedAt: number;
  readonly receivedAt: number;
  readonly cookies: CookieMode;
}

/** How long an answer may be used, as its entry keeps it; times are milliseconds since the epoch. */
export interface Validity {
  readonly policy: EntryPolicy;
  readonly freshUntil: number;
  /** End of the longest use that the answer allows; a client's own max-stale is not part of it. */
  readonly staleAt: number;
}

/** Whether an answer may be kept, why not, and for how long. `vary`: lower-case names, sorted. */
export type ResponseJudgement =
  | { readonly storable: false; readonly reason: Refusal }
  | (Validity & { readonly storable: true; readonly vary: string[] });

/** Seconds that profile `strict` keeps an answer that something is not there, whatever it says itself. */
const NEGATIVE_LIMIT = 60;

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

/** Stand-ins that the library knows: one that is kept by default, one that needs leave. */
const STATUS_KEPT_BY_DEFAULT = 200;
const STATUS_NEEDS_LEAVE = 302;

/** May this answer be kept, and for how long? RFC 9111 §3 and §4.2. */
export function judgeResponse(response: ArrivedResponse): ResponseJudgement {
  const facts = factsOf(response);
  const reason = refusalOf(response, facts);
  if (reason !== undefined) return { storable: false, reason };
  const { responseHeaders: headers, profile, receivedAt } = response;
  const validity = validityOf(response, facts);
  const validator = hasValidator(headers);
  if (validity.policy.alwaysRevalidate && !validator)
    return { storable: false, reason: 'no-validator' };
  const worthAsking = validator && (profile === 'rfc' || headers.has('cache-control'));
  if (validity.freshUntil <= receivedAt && validity.staleAt <= receivedAt && !worthAsking)
    return { storable: false, reason: 'already-stale' };
  return { storable: true, ...validity, vary: varyNames(headers) };
}

/** Why an answer must not be kept, whatever its lifetime. Absent: nothing forbids it. RFC 9111 §3. */
export function refusalOf(
  response: ArrivedResponse,
  facts: Facts = factsOf(response),
): Refusal | undefined {
  const { requestHeaders, responseHeaders: headers, status, profile } = response;
  const strict = profile === 'strict';
  const { directives, library } = facts;
  if (response.method !== 'GET') return 'method';
  if (!isFinal(status) || (strict && !keptByStrict(status))) return 'status';
  if (directives.has('must-understand') && !understands(status)) return 'status';
  if (parseCacheControl(requestHeaders.get('cache-control')).has('no-store'))
    return 'request-no-store';
  if (alteredBy(requestHeaders) !== undefined) return 'request-altered';
  if (response.cookies === 'bypass' && requestHeaders.has('cookie')) return 'cookie';
  if (strict && requestHeaders.has('authorization')) return 'authorization';
  if (directives.has('no-store')) return 'no-store';
  if (directives.has('private')) return 'private';
  if (strict && headers.has('set-cookie')) return 'set-cookie';
  const vary = varyNames(headers);
  if (vary.includes('*')) return 'vary-any';
  if (isForOneOrigin(requestHeaders, headers, vary)) return 'origin-specific';
  if (strict && !hasOwnLifetime(headers, directives)) return 'no-lifetime';
  if (library.storable()) return undefined;
  return requestHeaders.has('authorization') ? 'authorization' : 'no-lifetime';
}

/** How long an answer may be used, fresh and stale; for answers that nothing forbids to keep. RFC 9111 §4.2. */
export function validityOf(response: ArrivedResponse, facts: Facts = factsOf(response)): Validity {
  const { status, responseHeaders: headers, profile, requestedAt, receivedAt } = response;
  const { directives } = facts;
  const age = initialAge(headers, requestedAt, receivedAt);
  const lifetime = lifetimeOf(response, facts);
  const alwaysRevalidate = directives.has('no-cache');
  const mustRevalidate = forbidsStale(directives);
  const negative = profile === 'strict' && status >= 400;
  let freshUntil = receivedAt + Math.round((lifetime - age) * 1000);
  if (alwaysRevalidate) freshUntil = Math.min(freshUntil, receivedAt);
  if (negative) freshUntil = Math.min(freshUntil, receivedAt + NEGATIVE_LIMIT * 1000);
  freshUntil = Math.max(0, freshUntil);
  const mayBeStale = !alwaysRevalidate && !mustRevalidate && !negative;
  const windowEnd = (directive: string): number => {
    const seconds = mayBeStale ? (secondsOf(directives, directive) ?? 0) : 0;
    return seconds === 0 ? 0 : freshUntil + seconds * 1000;
  };
  const staleWhileRevalidateUntil = windowEnd('stale-while-revalidate');
  const staleIfErrorUntil = windowEnd('stale-if-error');
  return {
    policy: {
      receivedAt,
      initialAge: age,
      alwaysRevalidate,
      mustRevalidate,
      staleWhileRevalidateUntil,
      staleIfErrorUntil,
    },
    freshUntil,
    staleAt: Math.max(freshUntil, staleWhileRevalidateUntil, staleIfErrorUntil),
  };
}

/** True: the answer can be asked about, by its tag or its date. */
export function hasValidator(headers: HeaderList): boolean {
  return Boolean(headers.getAll('etag')[0] || headers.getAll('last-modified')[0]);
}

/** An answer's directives, and what the library makes of it: read once. */
interface Facts {
  readonly directives: CacheControl;
  readonly library: CachePolicy;
}

function factsOf(response: ArrivedResponse): Facts {
  const directives = directivesFor(response);
  return { directives, library: askLibrary(response, directives) };
}

/** Clean directives (RFC 9111 §5.2), without a no-store that must-understand lifts (§5.2.2.3). */
function directivesFor(response: ArrivedResponse): CacheControl {
  const directives = new Map(parseCacheControl(response.responseHeaders.get('cache-control')));
  const lifted =
    response.profile === 'rfc' && directives.has('must-understand') && understands(response.status);
  if (lifted) directives.delete('no-store');
  return directives;
}

/** Seconds of freshness, RFC 9111 §4.2.1; the library's guess (§4.2.2) is held to its limit. */
function lifetimeOf(response: ArrivedResponse, { directives, library }: Facts): number {
  const lifetime = Math.max(0, library.maxAge());
  return hasOwnLifetime(response.responseHeaders, directives)
    ? lifetime
    : Math.min(lifetime, HEURISTIC_LIMIT);
}

/** The library, told only what it reads rightly: one clean line per field, dates in one form, a status it knows. */
function askLibrary(response: ArrivedResponse, directives: CacheControl): CachePolicy {
  const { status } = response;
  const told: Record<string, string> = { date: plainDate(response) };
  const cacheControl = formatCacheControl(plainDirectives(directives));
  if (cacheControl !== undefined) told['cache-control'] = cacheControl;
  const expires = plainExpires(response);
  if (expires !== undefined) told['expires'] = expires;
  const lastModified = guessBase(response, directives);
  if (lastModified !== undefined) told['last-modified'] = lastModified;
  const authorized = response.requestHeaders.has('authorization');
  return new CachePolicy(
    { method: 'GET', url: '/', headers: authorized ? { authorization: 'yes' } : {} },
    { status: plainStatus(status), headers: told },
    // RFC 8246 §2: immutable gives no lifetime of its own.
    { shared: true, cacheHeuristic: HEURISTIC_FRACTION, immutableMinTimeToLive: 0 },
  );
}

/**
 * Only what bears on storing and lifetime, without quoted arguments, whose commas the library takes for separators
 * (RFC 9111 §5.2). Not proxy-revalidate: it says nothing about a fresh answer (§5.2.2.8), the library gives it no lifetime.
 */
function plainDirectives(directives: CacheControl): CacheControl {
  const plain = new Map<string, string | true>();
  for (const name of DIRECTIVES_TOLD) {
    const value = directives.get(name);
    if (value === undefined) continue;
    plain.set(name, name.endsWith('age') ? value : true);
  }
  return plain;
}

/** RFC 9110 §6.6.1: the time of arrival stands in for a Date that is missing or broken. */
function plainDate({ responseHeaders, receivedAt }: ArrivedResponse): string {
  const date = parseHttpDate(responseHeaders.getAll('date')[0] ?? '', receivedAt);
  return formatHttpDate(date ?? receivedAt);
}

/** RFC 9111 §5.3: anything but one valid date means expired. Absent: no such field. */
function plainExpires({ responseHeaders, receivedAt }: ArrivedResponse): string | undefined {
  const lines = responseHeaders.getAll('expires');
  if (lines.length === 0) return undefined;
  const date = lines.length === 1 ? parseHttpDate(lines[0] ?? '', receivedAt) : undefined;
  return date === undefined ? '0' : formatHttpDate(date);
}

/** RFC 9111 §4.2.2: the date to guess from. Absent: nothing may be guessed. */
function guessBase(response: ArrivedResponse, directives: CacheControl): string | undefined {
  const { status, profile, responseHeaders, receivedAt } = response;
  if (profile === 'strict' || !mayGuess(status, directives.has('public'))) return undefined;
  const date = parseHttpDate(responseHeaders.getAll('last-modified')[0] ?? '', receivedAt);
  return date === undefined ? undefined : formatHttpDate(date);
}

/** RFC 9111 §3: any final status may be kept with leave; the library knows fourteen. */
function plainStatus(status: number): number {
  return keptByDefault(status) ? STATUS_KEPT_BY_DEFAULT : STATUS_NEEDS_LEAVE;
}

/** RFC 9111 §4.2.4: s-maxage implies proxy-revalidate (§5.2.2.10), so it also rules out stale-while-revalidate. */
function forbidsStale(directives: CacheControl): boolean {
  return (
    directives.has('must-revalidate') ||
    directives.has('proxy-revalidate') ||
    directives.has('s-maxage')
  );
}

function hasOwnLifetime(headers: HeaderList, directives: CacheControl): boolean {
  return (
    directives.has('max-age') ||
    directives.has('s-maxage') ||
    directives.has('no-cache') ||
    headers.has('expires')
  );
}

function isFinal(status: number): boolean {
  return status >= 200 && status <= 599 && status !== 206 && status !== 304;
}

function keptByStrict(status: number): boolean {
  return status < 400 || status === 404 || status === 410;
}

/** Statuses whose caching this node implements in full, RFC 9111 §5.2.2.3. */
function understands(status: number): boolean {
  return keptByDefault(status) || [302, 303, 307, 404, 405, 410, 414, 501].includes(status);
}

/** An answer that names the asking site, but does not say that it varies on it, fits no other site. */
function isForOneOrigin(request: HeaderList, answer: HeaderList, vary: readonly string[]): boolean {
  const allowed = answer.get('access-control-allow-origin');
  return (
    request.has('origin') && allowed !== undefined && allowed !== '*' && !vary.includes('origin')
  );
}
