import type { ByteRange } from '../body.ts';
import type { HeaderList } from '../headers.ts';

/** More ranges in one request are answered with the whole (reliability H-84). */
export const MAX_RANGES: number = 10;

/** What a Range field asks of a body whose size is known. */
export type RangeChoice =
  /** No usable range: the whole goes out with 200. */
  | { readonly kind: 'whole' }
  /** None of the ranges lies in the body: 416. */
  | { readonly kind: 'unsatisfiable' }
  /** At least one; they do not overlap, so together they are never longer than the body. */
  | { readonly kind: 'parts'; readonly ranges: readonly ByteRange[] };

/** What a 206 with one part says that it holds: bytes `start` to `end` of `total`. RFC 9110 §14.4. */
export interface ContentRange extends ByteRange {
  readonly total: number;
}

const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i;
const ONE_RANGE = /^bytes=(?:\d+-\d*|-\d+)$/i;
const SPEC = /^(?:(\d+)-(\d*)|-(\d+))$/;
const WHOLE: RangeChoice = { kind: 'whole' };

/** Reads a Range field (RFC 9110 §14.1.2, §14.2); malformed, of another unit, or too many parts: the whole. */
export function chooseRange(field: string, size: number): RangeChoice {
  const [, unit, set] = /^([^=\s]+)=(.*)$/.exec(field.trim()) ?? [];
  if (unit?.toLowerCase() !== 'bytes' || set === undefined) return WHOLE;
  const specs = set
    .split(',')
    .map((spec) => spec.trim())
    .filter((spec) => spec !== '');
  if (specs.length === 0 || specs.length > MAX_RANGES) return WHOLE;
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const [, first, last, suffix] = SPEC.exec(spec) ?? [];
    if (suffix !== undefined) {
      if (Number(suffix) > 0 && size > 0)
        ranges.push({ start: Math.max(0, size - Number(suffix)), end: size - 1 });
    } else if (first === undefined || (last !== '' && Number(last) < Number(first))) return WHOLE;
    else if (Number(first) < size)
      ranges.push({
        start: Number(first),
        end: last === '' ? size - 1 : Math.min(Number(last), size - 1),
      });
  }
  if (ranges.length === 0) return { kind: 'unsatisfiable' };
  return { kind: 'parts', ranges: merged(ranges) };
}

/** In the order asked where no two touch; else sorted, with those that touch made one (RFC 9110 §15.3.7.2). */
function merged(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const joined: ByteRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last === undefined || range.start > last.end + 1) joined.push(range);
    else joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
  }
  return joined.length === ranges.length ? ranges : joined;
}

/** Whether a Range field asks for one range of bytes, in its plainest form. */
export function isOneRange(field: string): boolean {
  return ONE_RANGE.test(field);
}

/** What the fields of a 206 say that it holds. Absent: not told in full, several parts, or nonsense. */
export function contentRangeOf(headers: HeaderList): ContentRange | undefined {
  const [line, more] = headers.getAll('content-range');
  const [, first, last, size] = CONTENT_RANGE.exec(line?.trim() ?? '') ?? [];
  if (more !== undefined || first === undefined) return undefined;
  const [start, end, total] = [Number(first), Number(last), Number(size)];
  return start <= end && end < total ? { start, end, total } : undefined;
}

/** Bytes that a range holds. */
export function lengthOf({ start, end }: ByteRange): number {
  return end - start + 1;
}
