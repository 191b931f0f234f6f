import type { Note } from './storage/notes.ts';

/**
 * A segment as its name tells of it: `<began>-<manifest>-<number>-<kind>`, so that a list of names is in the order in which they were
 * written and says what they are. Kinds: `c` changes, `p` part of a whole picture, `e<first>` its last part and the number of its first.
 */
export interface Segment extends Note {
  /** Milliseconds since the epoch: when the first segment of this manifest was begun in this place. */
  readonly began: number;
  /** Epoch of the manifest's first namespace. */
  readonly manifest: string;
  /** Counts up from 1 within a manifest. */
  readonly number: number;
  /** Number of the first part of the picture that this one ends. Absent: it ends none. */
  readonly first?: number | undefined;
  /** True: part of a picture, and not its last. */
  readonly isPart: boolean;
}

/** The segments of one manifest in one place. */
export interface SegmentGroup {
  readonly manifest: string;
  readonly began: number;
  /** In order of number; never empty. */
  readonly segments: readonly Segment[];
  /** The newest whole picture: numbers of its first and last part, all of which are there. Absent: there is none. */
  readonly whole?: { readonly first: number; readonly last: number } | undefined;
}

const NAME = /^([0-9a-z]{9})-([0-9a-f]{16})-(\d{10})-(?:c|(p)|e(\d{10}))$/;
const TIME_DIGITS = 9;
const NUMBER_DIGITS = 10;

/** Name of a segment. `kind`: as in `Segment`, a number for the one that ends a picture. */
export function segmentName(
  { manifest, began }: Pick<Segment, 'manifest' | 'began'>,
  number: number,
  kind: 'c' | 'p' | number,
): string {
  const time = began.toString(36).padStart(TIME_DIGITS, '0');
  const end = typeof kind === 'number' ? `e${digits(kind)}` : kind;
  return `${time}-${manifest}-${digits(number)}-${end}`;
}

/** Segments among notes by manifest, the earliest manifest first; what has another name is left out. */
export function groupSegments(notes: readonly Note[]): readonly SegmentGroup[] {
  const groups = Map.groupBy(notes.flatMap(segmentOf), ({ manifest }) => manifest);
  return [...groups.values()]
    .map((found): SegmentGroup => {
      const segments = found.toSorted((a, b) => a.number - b.number);
      const { manifest, began } = segments[0] as Segment;
      return { manifest, began, segments, whole: wholeOf(segments) };
    })
    .toSorted((a, b) => a.began - b.began);
}

function segmentOf(note: Note): Segment[] {
  const match = NAME.exec(note.name);
  if (match === null) return [];
  const [, time = '', manifest = '', number, part, first] = match;
  return [
    {
      ...note,
      began: Number.parseInt(time, 36),
      manifest,
      number: Number(number),
      first: first === undefined ? undefined : Number(first),
      isPart: part !== undefined,
    },
  ];
}

function wholeOf(segments: readonly Segment[]): SegmentGroup['whole'] {
  const numbers = new Set(segments.map(({ number }) => number));
  for (const { number, first } of segments.toReversed()) {
    if (first === undefined) continue;
    let isThere = first <= number;
    for (let part = first; part < number; part++) isThere &&= numbers.has(part);
    if (isThere) return { first, last: number };
  }
  return undefined;
}

function digits(number: number): string {
  return number.toString().padStart(NUMBER_DIGITS, '0');
}
