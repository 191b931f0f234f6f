import type { Clock } from '../clock.ts';
import type { Entry } from '../manifest/entry.ts';
import type { Flight } from '../stashers/fills.ts';
import type { Sealed } from '../storage/backend.ts';
import type { BodyCache } from '../storage/body-cache.ts';
import type { Arrival } from './arrival.ts';
import { fillContent, memoryContent } from './contents.ts';
import type { ProtocolResponse } from './protocol.ts';
import type { Resource } from './resource.ts';

type Filling = Extract<Arrival, { kind: 'filling' }>;

/** A hit on what is whole already and only not on record yet. Absent: it may not be used without asking. */
export function earlyHit(
  resource: Resource,
  { fill, draft, head }: Filling,
  now: number,
): ProtocolResponse | undefined {
  const entry = entryOf(draft, fill.whole as Sealed, now);
  if (resource.judge(entry, now) !== 'fresh') return undefined;
  return {
    status: draft.status,
    headers: resource.served(entry, now),
    content: fill.bytes ? memoryContent(fill.bytes, entry.digest) : fillContent(fill),
    report: {
      phase: 'hit',
      ttl: Math.floor((draft.freshUntil - now) / 1000),
      askedAt: head.requestedAt,
    },
    selectable: draft.status === 200,
  };
}

/** An early hit on a fetch that this request would not join. Absent: there is none that is whole and fits. */
export async function hitBeside(
  resource: Resource,
  flight: Flight<Arrival> | undefined,
  now: number,
): Promise<ProtocolResponse | undefined> {
  if (flight === undefined || resource.onMiss === 'share') return undefined;
  // What has not come yet is not waited for.
  const arrival = await Promise.race([flight.arrival, Promise.resolve(undefined)]);
  if (arrival?.kind !== 'filling' || !isReady(resource, arrival)) return undefined;
  return earlyHit(resource, arrival, now);
}

/** An entry to ask about that is whole already and only not on record yet; its body is then in the cache. Absent: there is none that fits. */
export function earlyEntry(
  resource: Resource,
  arrival: Filling,
  { cache, clock }: { readonly cache: BodyCache; readonly clock: Clock },
): Entry | undefined {
  const { fill, draft } = arrival;
  if (!isReady(resource, arrival) || fill.bytes === undefined) return undefined;
  const sealed = fill.whole as Sealed;
  cache.set(sealed.digest, fill.bytes);
  return entryOf(draft, sealed, clock.now());
}

function isReady(resource: Resource, { fill, draft, kept }: Filling): boolean {
  if (!kept || !fill.joinable || fill.whole === undefined) return false;
  return resource.variant(draft.vary) === draft.variant;
}

function entryOf(draft: Filling['draft'], { digest, size }: Sealed, now: number): Entry {
  return { ...draft, digest, size, firstSeenAt: now, storedAt: now, jid: 0 };
}
