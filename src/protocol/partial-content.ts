import type { ByteRange } from '../body.ts';
import type { HeaderList } from '../headers.ts';
import type { Entry } from '../manifest/entry.ts';
import { contentRangeOf, lengthOf } from './byte-ranges.ts';

/** Parts that are kept of one variant of a key at most; a further one takes the place of the oldest. */
export const MAX_PARTS: number = 16;

/** Stands between the variant that a part is of and its place: no variant of a whole answer has it. */
const MARK = '@';

/** Some bytes of a representation, kept as an entry of status 206. */
export interface Part extends ByteRange {
  readonly entry: Entry;
}

/** The parts of one representation: the one that the newest of them is of. */
export interface Parts {
  /** What was said last of the representation. */
  readonly newest: Entry;
  /** Bytes of the whole. */
  readonly total: number;
  /** Strong, as it was sent. Absent: there is none, so that there is one part and nothing may be joined to it. */
  readonly tag: string | undefined;
  /** In order of their first byte. */
  readonly parts: readonly Part[];
}

/** Bytes to be taken from a part, in numbers of the whole. */
export interface Piece extends ByteRange {
  readonly part: Part;
}

/** The variant under which a part of an answer is kept: a request never has it, so that a part is never taken for a whole. */
export function partVariant(variant: string, place: number | ''): string {
  return `${variant}${MARK}${place}`;
}

/** The entry tag of an answer, where it is a strong one; what is joined must have the same. RFC 9110 §8.8.1, §15.3.7.3. */
export function strongTag(headers: HeaderList): string | undefined {
  const [tag, more] = headers.getAll('etag');
  return more === undefined && tag !== undefined && /^"[^"]*"$/.test(tag) ? tag : undefined;
}

/** The entries that are parts of a variant of theirs; `variantOf` gives the one that fits the request. */
export function partEntries(
  entries: readonly Entry[],
  variantOf: (vary: readonly string[]) => string,
): readonly Entry[] {
  return entries.filter(
    ({ status, variant, vary }) =>
      status === 206 && variant.startsWith(`${variantOf(vary)}${MARK}`),
  );
}

/** What entries of one variant hold together. Absent: none is a part whose fields and size agree. */
export function partsOf(entries: readonly Entry[]): Parts | undefined {
  let newest: Entry | undefined;
  for (const entry of entries) {
    const isLater = newest && entry.policy.receivedAt > newest.policy.receivedAt;
    if (holds(entry) && (newest === undefined || isLater)) newest = entry;
  }
  const range = newest && holds(newest);
  if (newest === undefined || range === undefined) return undefined;
  const { total } = range;
  const tag = strongTag(newest.headers);
  const same = entries.flatMap((entry): Part[] => {
    const held = holds(entry);
    const fits = entry === newest || (tag !== undefined && strongTag(entry.headers) === tag);
    if (held?.total !== total || !fits) return [];
    return [{ entry, start: held.start, end: held.end }];
  });
  return { newest, total, tag, parts: same.toSorted((a, b) => a.start - b.start) };
}

/** The fewest pieces that give a range in order. Absent: some of it is not there. */
export function cover(
  parts: readonly Part[],
  { start, end }: ByteRange,
): readonly Piece[] | undefined {
  const pieces: Piece[] = [];
  for (let at = start; at <= end; ) {
    let best: Part | undefined;
    for (const part of parts)
      if (part.start <= at && part.end >= at && (best === undefined || part.end > best.end))
        best = part;
    if (best === undefined) return undefined;
    const last = Math.min(end, best.end);
    pieces.push({ part: best, start: at, end: last });
    at = last + 1;
  }
  return pieces;
}

/** What parts hold together: ranges in order that neither touch nor overlap. */
export function runsOf(parts: readonly Part[]): readonly ByteRange[] {
  const runs: ByteRange[] = [];
  for (const { start, end } of parts) {
    const last = runs.at(-1);
    if (last === undefined || start > last.end + 1) runs.push({ start, end });
    else runs[runs.length - 1] = { start: last.start, end: Math.max(last.end, end) };
  }
  return runs;
}

/**
 * Where a new part goes, among the entries kept of its variant: in place of one that says less, else to a free place, else in
 * place of another representation's, else of the oldest.
 */
export function placeFor(kept: readonly Entry[], headers: HeaderList): number {
  const range = contentRangeOf(headers);
  const tag = strongTag(headers);
  const byPlace = new Map(kept.map((entry) => [placeOf(entry), entry]));
  const isSame = (held: ReturnType<typeof holds>, entry: Entry): boolean =>
    held?.total === range?.total && tag !== undefined && strongTag(entry.headers) === tag;
  let free: number[] = [];
  let other: number | undefined;
  let oldest: Entry | undefined;
  for (let place = 0; place < MAX_PARTS; place++) {
    const entry = byPlace.get(place);
    if (entry === undefined) {
      free = [...free, place];
      continue;
    }
    const held = holds(entry);
    if (!isSame(held, entry)) other ??= place;
    else if (held && range && held.start >= range.start && held.end <= range.end) return place;
    if (oldest === undefined || entry.policy.receivedAt < oldest.policy.receivedAt) oldest = entry;
  }
  // Parts that arrive at the same time do not know of each other: by chance they seldom meet.
  const any = free[Math.floor(Math.random() * free.length)];
  return any ?? other ?? (oldest ? placeOf(oldest) : 0);
}

/** What an entry holds, where its fields say so and its size agrees. */
function holds({ status, headers, size }: Entry): ReturnType<typeof contentRangeOf> {
  const range = status === 206 ? contentRangeOf(headers) : undefined;
  return range && lengthOf(range) === size ? range : undefined;
}

function placeOf({ variant }: Entry): number {
  return Number(variant.slice(variant.lastIndexOf(MARK) + 1));
}
