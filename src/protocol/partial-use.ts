import { randomUUIDv7 } from 'node:crypto';
import { messageOf } from '../errors.ts';
import type { HeaderList } from '../headers.ts';
import type { Entry } from '../manifest/entry.ts';
import type { Fill } from '../stashers/fill.ts';
import { withStash } from '../stashers/stasher.ts';
import type { Arrival, Supply } from './arrival.ts';
import { chooseRange } from './byte-ranges.ts';
import type { PullThroughOptions } from './filler.ts';
import { openParts, partialContent } from './partial-bodies.ts';
import {
  cover,
  type Part,
  type Parts,
  partEntries,
  partsOf,
  partVariant,
  placeFor,
} from './partial-content.ts';
import { completing } from './partial-fetcher.ts';
import { PartialResource } from './partial-resource.ts';
import type { ForwardReason, ProtocolResponse } from './protocol.ts';
import type { Resource } from './resource.ts';

/** A GET for which no whole answer is kept, seen with the parts that are. */
export interface PartialUse {
  /** What is fetched where the parts do not answer. */
  readonly resource: Resource;
  /** Where it is fetched from and kept. */
  readonly supply: Supply;
  /** What a fetch of the whole that others began has brought, where a range is wanted that has come by now. Absent: not yet. Never rejects. */
  comeBy(arrival: Promise<Arrival>): Promise<Arrival | undefined>;
  /** Absent: no part is kept. */
  readonly reason: ForwardReason | undefined;
  /** The answer from parts that may be used without asking. Absent: they do not hold what is wanted. */
  answer(): Promise<ProtocolResponse | undefined>;
}

/** What a GET says of parts. */
export interface PartialAsk {
  /** The client's fields. */
  readonly headers: HeaderList;
  /** True: a range is asked for as it is; else the whole is. */
  readonly forwards: boolean;
  /** As in `RangeAsk`. */
  readonly keepsUntagged: boolean;
  readonly entries: readonly Entry[];
}

/** How a GET without a kept whole is answered. Absent: there is no part of it, and none is asked for. */
export function usePartial(
  resource: Resource,
  ask: PartialAsk,
  supply: Supply,
  options: PullThroughOptions,
): PartialUse | undefined {
  const { headers, entries } = ask;
  const range = headers.get('range');
  const parts = partsOf(partEntries(entries, (vary) => resource.variant(vary)));
  const asksForPart = range !== undefined && ask.forwards;
  if (!parts && !asksForPart) return undefined;
  const place = (variant: string, fields: HeaderList): number =>
    placeFor(keptOf(resource, variant, options, entries), fields);
  const kept = keepingWhole(supply, resource, options);
  return {
    resource: asksForPart ? new PartialResource(resource, { ...ask, range, place }) : resource,
    supply: parts && !asksForPart ? { ...kept, fetcher: completed(parts, kept, options) } : kept,
    comeBy: async (arrival) => (asksForPart ? await comeBy(range, arrival) : undefined),
    reason: parts && 'partial',
    answer: async () => parts && (await answer(resource, headers, parts, supply, options)),
  };
}

async function answer(
  resource: Resource,
  headers: HeaderList,
  parts: Parts,
  supply: Supply,
  options: PullThroughOptions,
): Promise<ProtocolResponse | undefined> {
  const { newest, total } = parts;
  const now = options.clock.now();
  const use = resource.judge(newest, now);
  if (use !== 'fresh' && use !== 'fresh-refresh') return undefined;
  const wanted = wantedParts(headers, parts);
  if (!wanted) return undefined;
  const opened = await openParts(wanted.parts, supply, options);
  if (opened.parts.length < wanted.parts.length) {
    opened.close();
    return undefined;
  }
  const fields = resource.served(newest, now).without('Content-Range', 'Content-Length');
  return {
    status: 200,
    headers: fields,
    content: partialContent(total, opened, !wanted.whole),
    report: {
      phase: 'hit',
      ttl: Math.floor((newest.freshUntil - now) / 1000),
      askedAt: newest.policy.receivedAt,
    },
    selectable: true,
  };
}

async function comeBy(range: string, arrival: Promise<Arrival>): Promise<Arrival | undefined> {
  // Whatever is not there yet may take longer than asking for the range.
  const come = await Promise.race([arrival, Promise.resolve()]).catch(() => undefined);
  return come?.kind === 'filling' && isHeld(range, come.fill) ? come : undefined;
}

function isHeld(range: string, { whole, expectedSize, received }: Fill): boolean {
  const size = whole?.size ?? expectedSize;
  if (whole || size === undefined) return whole !== undefined;
  const choice = chooseRange(range, size);
  if (choice.kind !== 'parts') return choice.kind === 'unsatisfiable';
  return choice.ranges.every(({ end }) => end < received);
}

interface Wanted {
  /** Each once. */
  readonly parts: readonly Part[];
  /** True: they are the whole. */
  readonly whole: boolean;
}

/** The parts that hold what a request wants, whatever the edge then makes of its conditions. Absent: they do not. */
function wantedParts(headers: HeaderList, { parts, total, tag }: Parts): Wanted | undefined {
  const all = cover(parts, { start: 0, end: total - 1 });
  if (all) return { parts: [...new Set(all.map(({ part }) => part))], whole: true };
  const range = headers.get('range');
  const ifRange = headers.get('if-range')?.trim();
  if (range === undefined || (ifRange !== undefined && ifRange !== tag)) return undefined;
  const choice = chooseRange(range, total);
  if (choice.kind === 'unsatisfiable') return { parts: [], whole: false };
  const [only, more] = choice.kind === 'parts' ? choice.ranges : [];
  // Of several the edge may make the whole, which is not there.
  const pieces = only && more === undefined ? cover(parts, only) : undefined;
  return pieces && { parts: pieces.map(({ part }) => part), whole: false };
}

function completed(parts: Parts, supply: Supply, options: PullThroughOptions): Supply['fetcher'] {
  // Without a client's signal: others may wait for the same fetch.
  const from = { ...supply, signal: undefined };
  return completing(supply.fetcher, parts, async () => await openParts(parts.parts, from, options));
}

// Once the whole is kept its parts say nothing more, and must not come back when it goes.
function keepingWhole(supply: Supply, resource: Resource, options: PullThroughOptions): Supply {
  const { stasher } = supply;
  return {
    ...supply,
    stasher: withStash(stasher, async (stashable, call) => {
      const stashed = await stasher.stash(stashable, call);
      const { status, variant } = stashable.draft;
      if (status === 200)
        void stashed?.recorded.then((isKept) => {
          if (isKept) dropParts(resource, variant, options);
        });
      return stashed;
    }),
  };
}

function dropParts(
  { subject }: Resource,
  variant: string,
  { manifest, log }: PullThroughOptions,
): void {
  const { namespace, key, rule: actor } = subject;
  const drop = async (): Promise<void> => {
    const kept = ofVariant(await manifest.lookup(namespace, key), variant);
    const changes = kept.map((part) => {
      const changeId = randomUUIDv7();
      return { op: 'delete', namespace, key, variant: part.variant, changeId, actor } as const;
    });
    if (changes.length > 0) await manifest.commit(changes);
  };
  drop().catch((error: unknown) => {
    log.warn({ err: messageOf(error), key }, 'the parts of what is kept whole now stay');
  });
}

// What came in while this request waited counts too.
function keptOf(
  { subject }: Resource,
  variant: string,
  { manifest }: PullThroughOptions,
  entries: readonly Entry[],
): readonly Entry[] {
  return ofVariant(manifest.peek(subject.namespace, subject.key) ?? entries, variant);
}

function ofVariant(entries: readonly Entry[], variant: string): readonly Entry[] {
  const prefix = partVariant(variant, '');
  return entries.filter((entry) => entry.status === 206 && entry.variant.startsWith(prefix));
}
