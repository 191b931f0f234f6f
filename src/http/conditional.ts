import type { HeaderList } from '../headers.ts';
import { parseHttpDate } from '../protocol/http-date.ts';

/** One entity tag, weak or strong, of a list (RFC 9110 §8.8.3). */
const ENTITY_TAG = /\s*(?:,\s*)*((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")\s*(?=,|$)/gy;

/** Fields of the selected answer that a 304 carries (RFC 9110 §15.4.5), and those that say where it comes from. */
const NOT_MODIFIED_FIELDS = new Set([
  'cache-control',
  'content-location',
  'date',
  'etag',
  'expires',
  'vary',
  'age',
  'via',
  'cache-status',
  'x-cache',
  'cdn-cache-control',
  'last-modified',
  'access-control-allow-origin',
  'access-control-allow-credentials',
  'access-control-expose-headers',
]);

/**
 * Whether a GET or HEAD client already has the answer whose fields are given: If-None-Match by weak comparison, else
 * If-Modified-Since against Last-Modified, or Date where that is missing (RFC 9110 §13.2.2, RFC 9111 §4.3.2).
 */
export function isNotModified(request: HeaderList, response: HeaderList, now: number): boolean {
  const noneMatch = request.get('If-None-Match');
  if (noneMatch !== undefined) return matchesTag(noneMatch, response.get('ETag'));
  const since = onlyValue(request, 'If-Modified-Since');
  if (since === undefined) return false;
  const sinceTime = parseHttpDate(since, now);
  const changed = response.get('Last-Modified') ?? response.get('Date');
  const changedTime = changed === undefined ? undefined : parseHttpDate(changed, now);
  return sinceTime !== undefined && changedTime !== undefined && changedTime <= sinceTime;
}

/** The fields of a 304 made from an answer's. */
export function notModifiedFields(headers: HeaderList): HeaderList {
  const kept = headers.only(NOT_MODIFIED_FIELDS);
  // With a tag the date adds nothing; without one it is the only validator.
  return kept.has('ETag') ? kept.without('Last-Modified') : kept;
}

/** Whether If-Range allows a part of this answer: a strong tag, or the exact and strong date (RFC 9110 §13.1.5). */
export function allowsPart(
  ifRange: string | undefined,
  response: HeaderList,
  now: number,
): boolean {
  if (ifRange === undefined) return true;
  const validator = ifRange.trim();
  if (validator.startsWith('"')) return validator === response.get('ETag');
  const modified = response.get('Last-Modified');
  const date = response.get('Date');
  const wanted = parseHttpDate(validator, now);
  if (modified === undefined || date === undefined || wanted === undefined) return false;
  const modifiedTime = parseHttpDate(modified, now);
  const dateTime = parseHttpDate(date, now);
  // A change within the second of the answer would have the same date (RFC 9110 §8.8.2.2).
  return modifiedTime === wanted && dateTime !== undefined && dateTime - modifiedTime >= 1000;
}

function matchesTag(list: string, tag: string | undefined): boolean {
  if (list.trim() === '*') return true;
  if (tag === undefined) return false;
  const own = opaque(tag);
  for (const [, candidate] of list.matchAll(ENTITY_TAG))
    if (candidate !== undefined && opaque(candidate) === own) return true;
  return false;
}

function opaque(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}

function onlyValue(headers: HeaderList, name: string): string | undefined {
  const values = headers.getAll(name);
  return values.length === 1 ? values[0]?.trim() : undefined;
}
