import type { BareItem } from 'structured-headers';
import { parseList, serializeList, Token } from 'structured-headers';
import type { HeaderList } from '../headers.ts';
import type { CachePhase, CacheReport, ForwardReason } from '../protocol/protocol.ts';

/** Value of X-Cache for each way an answer came about. */
export const X_CACHE: Readonly<Record<CachePhase, string>> = {
  hit: 'HIT',
  miss: 'MISS',
  stale: 'STALE',
  revalidated: 'REVALIDATED',
  bypass: 'BYPASS',
};

/** Name of this cache in Cache-Status. */
const CACHE_NAME = new Token('caje');
const TOKEN = /^[A-Za-z*][!#$%&'*+\-.^_`|~\w:/]*$/;
const UNPRINTABLE = /[^\x20-\x7e]/g;

/** Why a request went forward where a report does not say it; `hit` never went. */
const FORWARD: Readonly<Record<CachePhase, ForwardReason | undefined>> = {
  hit: undefined,
  miss: 'miss',
  stale: undefined,
  revalidated: 'stale',
  bypass: 'bypass',
};

/** One member of Cache-Status (RFC 9211 §2) for this node. `own`: the node answers itself, so `fwd` stays out unless the report has it. */
export function statusOfCache(report: CacheReport, own = false): string {
  const parameters = new Map<string, BareItem>();
  const forward = report.forward ?? (own ? undefined : FORWARD[report.phase]);
  if (forward !== undefined) parameters.set('fwd', new Token(forward));
  else if (report.phase === 'hit' || report.phase === 'stale') parameters.set('hit', true);
  if (forward !== undefined && report.forwardStatus !== undefined)
    parameters.set('fwd-status', report.forwardStatus);
  if (report.ttl !== undefined) parameters.set('ttl', Math.trunc(report.ttl));
  if (forward !== undefined && report.stored === true) parameters.set('stored', true);
  if (report.collapsed === true) parameters.set('collapsed', true);
  if (report.key !== undefined) parameters.set('key', report.key.replace(UNPRINTABLE, '?'));
  if (report.detail !== undefined) {
    const detail = report.detail.replace(UNPRINTABLE, '?');
    parameters.set('detail', TOKEN.test(detail) ? new Token(detail) : detail);
  }
  return serializeList([[CACHE_NAME, parameters]]);
}

/** The fields with this node's Cache-Status behind those of the caches before it, and with X-Cache in place of theirs. */
export function withCacheStatus(headers: HeaderList, report: CacheReport): HeaderList {
  const before = headers.get('Cache-Status');
  // A value that does not parse would make the whole field, ours included, unreadable.
  const kept = before === undefined || isList(before) ? headers : headers.without('Cache-Status');
  return kept.append('Cache-Status', statusOfCache(report)).with('X-Cache', X_CACHE[report.phase]);
}

function isList(value: string): boolean {
  try {
    parseList(value);
    return true;
  } catch {
    return false;
  }
}
