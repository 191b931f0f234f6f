import { randomUUIDv7 } from 'node:crypto';
import { messageOf } from '../errors.ts';
import type { Entry } from '../manifest/entry.ts';
import type { Change } from '../manifest/manifest.ts';
import type { PullThroughOptions } from './filler.ts';
import type { Head, Resource } from './resource.ts';

/** Characters of tags sent at once. */
const MAX_TAGS = 4096;

type Places = Pick<PullThroughOptions, 'manifest' | 'metrics' | 'log'>;

/** An origin's answer that speaks of what is kept, and the namespace's position before it was asked. */
export interface Confirmation {
  readonly head: Head;
  readonly baseJid: number;
}

/** What is kept, as the origin now says that it is, and on record so. Absent: the origin speaks of something else. */
export function confirmEntry(
  resource: Resource,
  entry: Entry,
  { head, baseJid }: Confirmation,
  places: Places,
): Entry | undefined {
  const fresh = resource.freshen(entry, head);
  places.metrics.count('revalidations_total', fresh.kind);
  if (fresh.kind === 'mismatch') return undefined;
  const { headers, policy, freshUntil, staleAt } = fresh;
  const confirmed: Entry = { ...entry, headers, policy, freshUntil, staleAt };
  if (!fresh.keep) {
    const { namespace, key, variant, rule: actor } = entry;
    commit({ op: 'delete', namespace, key, variant, changeId: randomUUIDv7(), actor }, places);
  } else if (!fresh.changedHeaders || entry.jid === 0)
    places.manifest.refresh(entry, { policy, freshUntil, staleAt });
  else put(confirmed, baseJid, places);
  return confirmed;
}

/**
 * The variant that a 304 chose among those whose tags were sent, on record for this request too: RFC 9111 §4.1, §4.3.4. Its body
 * is that variant's. Absent: none of them was chosen, or the origin no longer lets it be kept.
 */
export function adoptVariant(
  resource: Resource,
  others: readonly Entry[],
  { head, baseJid }: Confirmation,
  places: Places,
): Entry | undefined {
  const tag = head.headers.getAll('etag')[0];
  const chosen = others.find((other) => tag !== undefined && tagOf(other) === tag);
  const fresh = chosen && resource.freshen(chosen, head);
  if (!chosen || fresh?.kind !== 'confirmed' || !fresh.keep) return undefined;
  const { headers, policy, freshUntil, staleAt } = fresh;
  const selecting = resource.selecting?.(chosen.vary);
  if (selecting === undefined) return undefined;
  places.metrics.count('revalidations_total', 'adopted');
  const adopted: Entry = { ...chosen, ...selecting, headers, policy, freshUntil, staleAt };
  put(adopted, baseJid, places);
  return adopted;
}

/**
 * Variants whose tags may be sent for a request that none of them fits, RFC 9111 §4.3.1; weak tags choose no body of their own, and
 * what an answer is to one client's credentials it need not be to others. Absent: there is none.
 */
export function taggedVariants(
  resource: Resource,
  entries: readonly Entry[],
): readonly Entry[] | undefined {
  if (entries.length === 0 || resource.onMiss !== 'share') return undefined;
  if (resource.selecting === undefined || resource.personal?.() !== '') return undefined;
  let room = MAX_TAGS;
  const tagged = entries.filter((entry) => {
    const tag = tagOf(entry);
    if (entry.status !== 200 || tag === undefined || tag.length > room) return false;
    // Origins that compress late have one tag for all codings, and would choose one that this client does not take.
    if (entry.headers.has('content-encoding')) return false;
    room -= tag.length;
    return true;
  });
  return tagged.length === 0 ? undefined : tagged;
}

/** What HEAD says is no longer so must not be used unasked, RFC 9111 §4.3.5. */
export function outdate(entry: Entry, now: number, { manifest }: Places): void {
  const { freshUntil, policy } = entry;
  const past = { ...policy, staleWhileRevalidateUntil: 0, staleIfErrorUntil: 0 };
  const until = Math.min(freshUntil, now);
  manifest.refresh(entry, { policy: past, freshUntil: until, staleAt: until });
}

function tagOf({ headers }: Entry): string | undefined {
  const tag = headers.getAll('etag')[0];
  return tag?.startsWith('"') === true ? tag : undefined;
}

function put(entry: Entry, baseJid: number, places: Places): void {
  const { jid: _jid, firstSeenAt: _first, storedAt: _stored, ...kept } = entry;
  commit({ op: 'put', changeId: randomUUIDv7(), entry: kept, baseJid, actor: entry.rule }, places);
}

function commit(change: Change, { manifest, log }: Places): void {
  manifest.commit([change]).catch((error: unknown) => {
    log.error(
      { err: messageOf(error), op: change.op },
      'a row could not be handed to the manifest',
    );
  });
}
