import type { HeaderList } from '../headers.ts';
import type { Entry } from '../manifest/entry.ts';
import { ageOf, exactAge } from './age.ts';
import { formatHttpDate } from './http-date.ts';
import type { RequestJudgement } from './request-directives.ts';

/** Seconds past its lifetime that an entry is used because the client takes stale answers, however much it takes. */
export const MAX_STALE_LIMIT: number = 24 * 3600;

/**
 * Milliseconds that an entry may have come in the future, as it does from a node whose clock runs ahead. One that lies further
 * ahead was kept while a clock was wrong, and what its lifetime is counted from is not known.
 */
const FUTURE_LIMIT_MS = 10 * 60_000;

/** True: it was kept while a clock was wrong. `nowMs`: milliseconds since the epoch. */
export function isFromTheFuture(entry: Pick<Entry, 'policy'>, nowMs: number): boolean {
  return entry.policy.receivedAt > nowMs + FUTURE_LIMIT_MS;
}

/**
 * What to do with an entry: answer from it; answer from it while it is fresh and refresh it behind, because it will not be for
 * long; answer from it although it is stale and refresh it behind; or ask the origin first.
 */
export type EntryUse = 'fresh' | 'fresh-refresh' | 'stale-while-revalidate' | 'revalidate';

/** What to do with an entry for one request. Whole seconds; `ttlSeconds` is negative once stale. */
export interface EntryJudgement {
  readonly use: EntryUse;
  readonly ageSeconds: number;
  readonly ttlSeconds: number;
}

/** May this entry answer this request now? RFC 9111 §4, §5.2.1, RFC 5861 §3. `nowMs`: milliseconds since the epoch. */
export function judgeEntry(
  entry: Pick<Entry, 'policy' | 'freshUntil'>,
  request: RequestJudgement,
  nowMs: number,
): EntryJudgement {
  return {
    use: useOf(entry, request, nowMs),
    ageSeconds: ageOf(entry, nowMs),
    ttlSeconds: Math.floor((entry.freshUntil - nowMs) / 1000),
  };
}

/**
 * True: the entry may answer when the origin cannot; RFC 9111 §4.2.4, RFC 5861 §4. `disconnectedMs`: for so long past its
 * lifetime the configuration lets it stand in, whether it allows that itself or not; it may be infinite.
 */
export function mayServeStaleOnError(
  entry: Pick<Entry, 'policy' | 'freshUntil'>,
  nowMs: number,
  disconnectedMs: number = 0,
): boolean {
  const { alwaysRevalidate, mustRevalidate, staleIfErrorUntil, staleWhileRevalidateUntil } =
    entry.policy;
  if (alwaysRevalidate) return false;
  if (entry.freshUntil > nowMs) return true;
  const until = Math.max(
    staleIfErrorUntil,
    staleWhileRevalidateUntil,
    entry.freshUntil + disconnectedMs,
  );
  return !mustRevalidate && until > nowMs;
}

/** The stored fields as they go out now: Age of this moment, the origin's own Date, RFC 9111 §5.1, RFC 9110 §6.6.1. */
export function servedHeaders(entry: Pick<Entry, 'headers' | 'policy'>, nowMs: number): HeaderList {
  const served = entry.headers.with('Age', String(ageOf(entry, nowMs)));
  return served.has('date')
    ? served
    : served.append('Date', formatHttpDate(entry.policy.receivedAt));
}

function useOf(
  entry: Pick<Entry, 'policy' | 'freshUntil'>,
  request: RequestJudgement,
  nowMs: number,
): EntryUse {
  const { policy, freshUntil } = entry;
  const { maxAge, minFresh, maxStale } = request;
  if (policy.alwaysRevalidate || request.noCache) return 'revalidate';
  if (maxAge !== undefined && (maxAge === 0 || exactAge(entry, nowMs) > maxAge))
    return 'revalidate';
  if (isFromTheFuture(entry, nowMs)) return 'revalidate';
  const leftMs = freshUntil - nowMs;
  if (minFresh !== undefined && leftMs < minFresh * 1000) return 'revalidate';
  if (leftMs > 0) return 'fresh';
  if (policy.mustRevalidate) return 'revalidate';
  if (maxStale !== undefined && -leftMs <= Math.min(maxStale, MAX_STALE_LIMIT) * 1000)
    return 'stale-while-revalidate';
  // RFC 9111 §5.2.1.1: who names a max-age without max-stale wants nothing stale.
  const window = maxAge === undefined && policy.staleWhileRevalidateUntil > nowMs;
  return window ? 'stale-while-revalidate' : 'revalidate';
}
