import type { HeaderList } from '../headers.ts';
import type { EntryPolicy } from '../manifest/entry.ts';
import { initialAge } from './age.ts';
import { type CacheControl, parseCacheControl, secondsOf } from './cache-control.ts';
import { HTTP_SETTINGS } from './http-settings.ts';
import { alteredBy } from './request-directives.ts';
import { type ArrivedResponse, type Reading, readAnswer, understands } from './semantics.ts';
import { varyNames } from './vary.ts';

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

/** How long an answer may be used, as its entry keeps it; times are milliseconds since the epoch. */
export interface Validity {
  readonly policy: EntryPolicy;
  readonly freshUntil: number;
  /** End of the longest use that the answer allows; a client's own max-stale is not part of it. */
  readonly staleAt: number;
}

/** Whether an answer may be kept, why not, and for how long. `vary`: lower-case names, sorted. `headers`: the fields to keep. */
export type ResponseJudgement =
  | { readonly storable: false; readonly reason: Refusal }
  | (Validity & {
      readonly storable: true;
      readonly vary: string[];
      readonly headers: HeaderList;
    });

/** Seconds that profile `strict` keeps an answer that something is not there, whatever it says itself. */
const NEGATIVE_LIMIT = 60;

/** May this answer be kept, and for how long? RFC 9111 §3 and §4.2. */
export function judgeResponse(response: ArrivedResponse): ResponseJudgement {
  const reading = readAnswer(response);
  const reason = refusalOf(response, reading);
  if (reason !== undefined) return { storable: false, reason };
  const { responseHeaders: headers, profile, receivedAt } = response;
  const validity = validityOf(response, reading);
  const validator = hasValidator(headers);
  if (validity.policy.alwaysRevalidate && !validator)
    return { storable: false, reason: 'no-validator' };
  const worthAsking = validator && (profile === 'rfc' || reading.directives.size > 0);
  if (validity.freshUntil <= receivedAt && validity.staleAt <= receivedAt && !worthAsking)
    return { storable: false, reason: 'already-stale' };
  const kept = keptFields(response, reading);
  return { storable: true, ...validity, vary: varyNames(headers), headers: kept };
}

/** The fields that every reader of a kept answer may see, RFC 9111 §3.1, §5.2.2.4, §5.2.2.7, §7.3. */
export function keptFields(
  { responseHeaders, setCookie }: ArrivedResponse,
  { withheld }: Reading,
): HeaderList {
  const names = setCookie === 'strip' ? [...withheld, 'set-cookie', 'set-cookie2'] : withheld;
  return names.length === 0 ? responseHeaders : responseHeaders.without(...names);
}

/** Why an answer must not be kept, whatever its lifetime. Absent: nothing forbids it. RFC 9111 §3. */
export function refusalOf(
  response: ArrivedResponse,
  reading: Reading = readAnswer(response),
): Refusal | undefined {
  const { requestHeaders, responseHeaders: headers, status, profile } = response;
  const strict = profile === 'strict';
  const { directives } = reading;
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
  if (setsCookie(response, reading)) return 'set-cookie';
  const vary = varyNames(headers);
  if (vary.includes('*')) return 'vary-any';
  if (isForOneOrigin(requestHeaders, headers, vary)) return 'origin-specific';
  if (strict && !reading.explicit) return 'no-lifetime';
  if (reading.storable) return undefined;
  return requestHeaders.has('authorization') ? 'authorization' : 'no-lifetime';
}

/** How long an answer may be used, fresh and stale; for answers that nothing forbids to keep. RFC 9111 §4.2. */
export function validityOf(
  response: ArrivedResponse,
  { directives, lifetime }: Reading = readAnswer(response),
): Validity {
  const { status, responseHeaders: headers, profile, requestedAt, receivedAt } = response;
  const age = initialAge(headers, requestedAt, receivedAt, response.clockAhead);
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

/** RFC 9111 §4.2.4: s-maxage implies proxy-revalidate (§5.2.2.10), so it also rules out stale-while-revalidate. */
function forbidsStale(directives: CacheControl): boolean {
  return (
    directives.has('must-revalidate') ||
    directives.has('proxy-revalidate') ||
    directives.has('s-maxage')
  );
}

function isFinal(status: number): boolean {
  return status >= 200 && status <= 599 && status !== 206 && status !== 304;
}

function keptByStrict(status: number): boolean {
  return status < 400 || status === 404 || status === 410;
}

/** RFC 9111 §7.3: a cookie meant for one client; the answer is kept only where the rule says so. */
function setsCookie(
  { responseHeaders, setCookie = HTTP_SETTINGS.setCookie }: ArrivedResponse,
  { withheld }: Reading,
): boolean {
  return (
    setCookie === 'bypass' && responseHeaders.has('set-cookie') && !withheld.includes('set-cookie')
  );
}

/** An answer that names the asking site, but does not say that it varies on it, fits no other site. */
function isForOneOrigin(request: HeaderList, answer: HeaderList, vary: readonly string[]): boolean {
  const allowed = answer.get('access-control-allow-origin');
  return (
    request.has('origin') && allowed !== undefined && allowed !== '*' && !vary.includes('origin')
  );
}
