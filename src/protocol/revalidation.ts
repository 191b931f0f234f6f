import { type HeaderLine, HeaderList } from '../headers.ts';
import type { Entry } from '../manifest/entry.ts';
import { initialAge } from './age.ts';
import { parseCacheControl, sameDirectives } from './cache-control.ts';
import { keptFields, refusalOf, type Validity, validityOf } from './freshness.ts';
import { formatHttpDate } from './http-date.ts';
import { type ArrivedResponse, readAnswer } from './semantics.ts';
import { varyNames } from './vary.ts';

/** What a 304 does to the entry that was asked about. */
export type Freshened =
  | (Validity & {
      readonly kind: 'confirmed';
      /** False: the 304 forbids keeping it; it answers this request and is then dropped. */
      readonly keep: boolean;
      /** The stored fields, updated as RFC 9111 §3.2 says. */
      readonly headers: HeaderList;
      /** False: nothing but Date, Age, Expires and the spelling of Cache-Control differs. */
      readonly changedHeaders: boolean;
    })
  /** The 304 speaks of something else: drop the entry and fetch without conditions. */
  | { readonly kind: 'mismatch' };

/** Fields of a client's request that ask about the client's own copy, or for a part; RFC 9110 §13.1, §14.2. */
const CONDITIONS = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'range',
] as const;

/** Fields that a 304 does not change: they describe the stored body, or the connection, or one client. RFC 9111 §3.1, §3.2. */
const KEPT = new Set([
  'content-length',
  'content-encoding',
  'content-range',
  'content-md5',
  'content-digest',
  'repr-digest',
  'digest',
  'vary',
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Fields that say when an answer was checked, not what it is. */
const TIMES = ['date', 'age', 'expires', 'cache-control'] as const;

/**
 * Fields of the request that asks whether a stored answer still holds: the client's, with its conditions and Range
 * replaced by the entry's own validators, byte for byte, or by the tags of other variants. RFC 9111 §4.3.1. Without either: that
 * asks for the whole.
 */
export function validationHeaders(
  entry: Pick<Entry, 'headers'> | undefined,
  requestHeaders: HeaderList,
  others: readonly Pick<Entry, 'headers'>[] = [],
): HeaderList {
  let headers = requestHeaders.without(...CONDITIONS);
  const tags = new Set(others.flatMap((other) => other.headers.getAll('etag')[0] ?? []));
  const tag = entry ? entry.headers.getAll('etag')[0] : [...tags].join(', ');
  const date = entry?.headers.getAll('last-modified')[0];
  if (tag) headers = headers.append('If-None-Match', tag);
  if (date) headers = headers.append('If-Modified-Since', date);
  return headers;
}

/**
 * True: the answer to HEAD speaks of the stored body, RFC 9111 §4.3.5: each validator and the length that it names are the stored
 * ones. `needsValidator`: that it names none is no proof.
 */
export function confirmsByHead(
  { headers, status, size }: Pick<Entry, 'headers' | 'status' | 'size'>,
  head: { readonly status: number; readonly headers: HeaderList },
  needsValidator: boolean,
): boolean {
  if (status !== 200 || head.status !== 200) return false;
  const same = (name: string): boolean => head.headers.get(name) === headers.get(name);
  const named = ['etag', 'last-modified'].filter((name) => head.headers.has(name));
  if (!named.every(same) || !same('content-encoding') || !same('content-type')) return false;
  const length = head.headers.get('content-length');
  if (length !== undefined && length !== String(size)) return false;
  return named.length > 0 || !needsValidator;
}

/** What a 304 to `validationHeaders` says of the entry. RFC 9111 §3.2, §4.3.4. Times: milliseconds since the epoch. */
export function freshen(
  entry: Pick<Entry, 'headers' | 'status' | 'vary'>,
  notModified: HeaderList,
  requestedAt: number,
  receivedAt: number,
  settings: Pick<ArrivedResponse, 'profile' | 'setCookie' | 'targets' | 'clockAhead'>,
): Freshened {
  if (namesAnother(entry, notModified)) return { kind: 'mismatch' };
  const taken = settings.setCookie === 'store' ? notModified : notModified.without('set-cookie');
  const merged = mergeConfirmed(entry.headers, taken, receivedAt);
  const response = {
    ...settings,
    method: 'GET',
    requestHeaders: HeaderList.empty,
    status: entry.status,
    responseHeaders: merged,
    requestedAt,
    receivedAt,
    cookies: 'ignore',
  } as const;
  const reading = readAnswer(response);
  const keep = refusalOf(response, reading) === undefined;
  const headers = keptFields(response, reading);
  return {
    kind: 'confirmed',
    keep,
    headers,
    changedHeaders: changesMeaning(entry.headers, headers),
    ...(keep ? validityOf(response, reading) : unusable(headers, requestedAt, receivedAt)),
  };
}

/** RFC 9111 §4.3.4. A 304 that names no validator answers the one that was sent. */
function namesAnother(
  { headers, vary }: Pick<Entry, 'headers' | 'vary'>,
  notModified: HeaderList,
): boolean {
  // More selecting fields than the entry was filed under: its variant no longer says whom it fits.
  if (varyNames(notModified).some((name) => !vary.includes(name))) return true;
  const stored = headers.getAll('etag')[0];
  const named = notModified.getAll('etag')[0];
  const storedDate = headers.getAll('last-modified')[0];
  const namedDate = notModified.getAll('last-modified')[0];
  if (stored && named) return opaque(stored) !== opaque(named);
  if (stored) return false;
  if (namedDate) return namedDate !== storedDate;
  return Boolean(named) && !named?.startsWith('W/');
}

/** The opaque part of an entity tag: weak comparison, RFC 9110 §8.8.3.2. */
function opaque(tag: string): string {
  return tag.trim().replace(/^W\//, '');
}

/** RFC 9111 §3.2: all lines of a field replace the stored ones; new fields are added. */
export function mergeConfirmed(
  stored: HeaderList,
  notModified: HeaderList,
  receivedAt: number,
): HeaderList {
  const named = (notModified.get('connection') ?? '').split(',').map((name) => name.trim());
  const taken = notModified.without(...KEPT, ...named);
  const byName = Map.groupBy(taken.lines, ([name]) => name.toLowerCase());
  const lines: HeaderLine[] = [];
  for (const line of stored.lines) {
    const name = line[0].toLowerCase();
    const fresh = byName.get(name);
    // RFC 9111 §4.2.3: the age counts from the 304, so the stored one must not survive it.
    if (fresh === undefined && name !== 'age') lines.push(line);
    // The first stored line is replaced by all new ones, the others go.
    if (fresh !== undefined) lines.push(...fresh.splice(0));
  }
  for (const fresh of byName.values()) lines.push(...fresh);
  const merged = new HeaderList(lines);
  return taken.has('date') ? merged : merged.with('Date', formatHttpDate(receivedAt));
}

/** True: the fields differ in more than the times that say when they were checked. */
export function changesMeaning(before: HeaderList, after: HeaderList): boolean {
  const told = (headers: HeaderList): string =>
    JSON.stringify(
      headers
        .without(...TIMES)
        .lines.map(([name, value]) => [name.toLowerCase(), value])
        .toSorted(([one = ''], [other = '']) => (one < other ? -1 : Number(one > other))),
    );
  const directives = (headers: HeaderList) => parseCacheControl(headers.get('cache-control'));
  return told(before) !== told(after) || !sameDirectives(directives(before), directives(after));
}

function unusable(headers: HeaderList, requestedAt: number, receivedAt: number): Validity {
  return {
    policy: {
      receivedAt,
      initialAge: initialAge(headers, requestedAt, receivedAt),
      alwaysRevalidate: true,
      mustRevalidate: true,
      staleWhileRevalidateUntil: 0,
      staleIfErrorUntil: 0,
    },
    freshUntil: receivedAt,
    staleAt: receivedAt,
  };
}
