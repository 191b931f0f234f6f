import type { Entry } from '../manifest/entry.ts';
import type { Sealed } from '../storage/backend.ts';
import type { Arrival } from './arrival.ts';
import { fillContent, memoryContent } from './contents.ts';
import type { ProtocolResponse } from './protocol.ts';
import type { Resource } from './resource.ts';

/** A hit on what is whole already and only not on record yet. Absent: it may not be used without asking. */
export function earlyHit(
  resource: Resource,
  { fill, draft, head }: Extract<Arrival, { kind: 'filling' }>,
  now: number,
): ProtocolResponse | undefined {
  const { digest, size } = fill.whole as Sealed;
  const entry: Entry = { ...draft, digest, size, firstSeenAt: now, storedAt: now, jid: 0 };
  if (resource.judge(entry, now) !== 'fresh') return undefined;
  return {
    status: draft.status,
    headers: resource.served(entry, now),
    content: fill.bytes ? memoryContent(fill.bytes, digest) : fillContent(fill),
    report: {
      phase: 'hit',
      ttl: Math.floor((draft.freshUntil - now) / 1000),
      askedAt: head.requestedAt,
    },
    selectable: draft.status === 200,
  };
}
