import type { Clock } from '../clock.ts';
import type { FetchOptions } from '../fetchers/fetcher.ts';
import { unsharedResponse } from './answers.ts';
import { headOf, type Supply } from './arrival.ts';
import { fetchBan, redirectTo } from './instead-of-fetching.ts';
import type { CacheReport, ForwardReason, ProtocolResponse } from './protocol.ts';
import type { Resource } from './resource.ts';

/** What forwarding needs to know beside the request. */
export interface Forwarding {
  readonly reason: ForwardReason;
  /** What the answer would be kept under, were it whole. Absent: it goes past the cache. */
  readonly key?: string | undefined;
  /** As in `FetchOptions`. */
  readonly notBefore?: FetchOptions['notBefore'];
  readonly clock: Clock;
}

/** Passes a request on by itself: nothing is looked up, shared or kept. Modes hold for it too. */
export async function forward(
  resource: Pick<Resource, 'ownRequest' | 'passed'>,
  supply: Supply,
  { reason, key, clock, notBefore }: Forwarding,
): Promise<ProtocolResponse> {
  const ban = fetchBan(supply);
  if (ban) throw ban;
  if (supply.mode?.endsWith('redirect') === true)
    return await redirectTo(resource.ownRequest(), supply);
  const requestedAt = clock.now();
  const { signal, peer, interim } = supply;
  const begun = (): void => peer?.begun();
  const options = { signal, key, begun, notBefore, interim };
  const fetched = await supply.fetcher.fetch(resource.ownRequest(), options);
  const head = headOf(fetched, requestedAt, clock);
  const report: CacheReport = {
    phase: reason === 'bypass' || reason === 'method' ? 'bypass' : 'miss',
    forward: reason,
    forwardStatus: head.status,
    stored: false,
  };
  return unsharedResponse(resource, fetched, head, report);
}
