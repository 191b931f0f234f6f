import { HeaderList } from '../headers.ts';

/** Tags kept of one answer, the first ones named. */
export const MAX_TAGS = 128;
/** Characters of a tag. */
export const MAX_TAG_LENGTH = 256;

/** Fields of an answer that name its tags, in lower case, and what stands between them. */
export const TAG_FIELDS: ReadonlyMap<string, ' ' | ','> = new Map([
  ['surrogate-key', ' '],
  ['cache-tag', ','],
]);

/** The tags of an answer. */
export interface AnswerTags {
  /** As written, in the order in which they are named. */
  readonly tags: ReadonlySet<string>;
  /** How many were named beyond the limits. */
  readonly dropped: number;
}

const NONE: AnswerTags = { tags: new Set(), dropped: 0 };
const IN_TEXT = /"(?:surrogate-key|cache-tag)"/i;

// An answer is asked for its tags when it is put into memory, when it leaves it, and by purges.
const known = new WeakMap<HeaderList, AnswerTags>();

/** What Surrogate-Key and Cache-Tag name. The manifest's own triggers read rows by the same rules (`tag-schema.ts`). */
export function readTags(headers: HeaderList): AnswerTags {
  if (!headers.lines.some(([name]) => separatorOf(name) !== undefined)) return NONE;
  const before = known.get(headers);
  if (before !== undefined) return before;
  const named = headers.lines.flatMap(([name, value]) => {
    const separator = separatorOf(name);
    return separator === undefined ? [] : value.replaceAll('\t', ' ').split(separator);
  });
  const written = named.map((tag) => tag.replaceAll(/^ +| +$/g, '')).filter((tag) => tag !== '');
  const fitting = written.filter((tag) => tag.length <= MAX_TAG_LENGTH);
  const tags = new Set(fitting.slice(0, MAX_TAGS));
  const read = { tags, dropped: written.length - Math.min(fitting.length, MAX_TAGS) };
  known.set(headers, read);
  return read;
}

/** The same of fields as a row has them. Throws for text that is not JSON though it names such a field. */
export function tagsOfRow(responseHeaders: string): ReadonlySet<string> {
  if (!IN_TEXT.test(responseHeaders)) return NONE.tags;
  return readTags(HeaderList.fromRaw(JSON.parse(responseHeaders) as string[])).tags;
}

function separatorOf(name: string): ' ' | ',' | undefined {
  return name.length === 13 || name.length === 9 ? TAG_FIELDS.get(name.toLowerCase()) : undefined;
}
