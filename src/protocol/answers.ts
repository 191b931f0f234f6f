import type { Fetched } from '../fetchers/fetcher.ts';
import type { Entry } from '../manifest/entry.ts';
import { isDigest } from '../storage/digest.ts';
import type { Arrival } from './arrival.ts';
import { fetchedContent, fillContent } from './contents.ts';
import type { EntryUse } from './entry-use.ts';
import type { CacheReport, Content, ForwardReason, ProtocolResponse, Replay } from './protocol.ts';
import type { Head, Resource } from './resource.ts';

/** What lets an edge repeat a hit. Absent: what varies, or has to be asked about each time, needs the protocol's eye. */
export function replayOf(
  { namespace, key, digest, size, freshUntil, policy, vary }: Entry,
  until: number,
): Replay | undefined {
  if (vary.length > 0 || policy.alwaysRevalidate || !isDigest(digest)) return undefined;
  const { receivedAt, initialAge } = policy;
  return { namespace, key, digest, size, freshUntil, until, receivedAt, initialAge };
}

/** A kept answer, whose body is open; a hit may be repeated by the edge. Times: milliseconds since the epoch. */
export function keptResponse(
  resource: Pick<Resource, 'served' | 'repeatableUntil'>,
  entry: Entry,
  content: Content,
  now: number,
  report: CacheReport,
): ProtocolResponse {
  const { status, freshUntil, policy } = entry;
  const ttl = Math.floor((freshUntil - now) / 1000);
  return {
    status,
    headers: resource.served(entry, now),
    content,
    report: { ttl, askedAt: policy.receivedAt, ...report },
    selectable: status === 200,
    replay: report.phase === 'hit' ? replayOf(entry, resource.repeatableUntil(entry)) : undefined,
  };
}

/** Why a request goes forward, given what is kept under its key, what of that fits, and how it was judged. RFC 9211 §2.2. */
export function forwardReason(
  entries: readonly Entry[],
  entry: Entry | undefined,
  use: EntryUse,
  now: number,
): ForwardReason {
  if (!entry) return entries.length > 0 ? 'vary-miss' : 'uri-miss';
  // What may be used and was not has lost its body.
  if (use !== 'revalidate') return 'miss';
  return entry.freshUntil > now ? 'request' : 'stale';
}

/** An answer that goes to one client and is not kept. */
export function unsharedResponse(
  resource: Pick<Resource, 'passed'>,
  fetched: Fetched,
  head: Head,
  report: CacheReport,
): ProtocolResponse {
  return {
    status: head.status,
    headers: resource.passed(head),
    content: fetchedContent(fetched),
    report,
    selectable: false,
  };
}

/** An answer that is arriving and that others may share; `collapsed`: this request did not begin the fetch. */
export function fillingResponse(
  resource: Pick<Resource, 'passed'>,
  { fill, draft, head, kept }: Extract<Arrival, { kind: 'filling' }>,
  reason: ForwardReason,
  collapsed: true | undefined,
): ProtocolResponse {
  return {
    status: head.status,
    // What only the one who asked may see goes to nobody who shares the fetch.
    headers: resource.passed(collapsed ? { ...head, headers: draft.headers } : head),
    content: fillContent(fill),
    report: {
      phase: kept ? 'miss' : 'bypass',
      forward: reason,
      forwardStatus: head.status,
      stored: kept,
      collapsed,
      askedAt: head.requestedAt,
    },
    selectable: head.status === 200,
  };
}
