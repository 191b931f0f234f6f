import type { Body, ByteRange } from '../body.ts';
import { kindOf, ProxyError } from '../errors.ts';
import { discard } from '../fetchers/discard.ts';
import type { Fetched, Fetcher, FetchOptions, FetchRequest } from '../fetchers/fetcher.ts';
import { HeaderList } from '../headers.ts';
import { contentRangeOf, lengthOf } from './byte-ranges.ts';
import { type OpenParts, oneAfterTheOther, type Segment } from './partial-bodies.ts';
import { type Parts, runsOf, strongTag } from './partial-content.ts';
import { varyNames } from './vary.ts';

/** Runs of kept bytes that one answer is completed from; each may cost a request for what is missing before it. */
const MAX_RUNS = 3;

/** Fields that speak of one message of the two that are joined, not of the whole. */
const OF_ONE_MESSAGE = ['content-range', 'content-length', 'age', 'date'] as const;

/** Fields by which a client asks about its own copy, or for a part. */
const CONDITIONS = ['if-none-match', 'if-modified-since', 'if-range', 'range'];

/** Bytes of the whole in order: kept, or to be asked for. */
interface Stretch extends ByteRange {
  readonly kept: boolean;
}

/**
 * Asks for what is missing beside the parts that are kept, on the condition that they still hold (If-Range), and gives the whole as a
 * 200. An answer that is no fitting 206 takes the place of the parts; one that does not fit is let go of and the whole asked for.
 * Beside a part without a strong tag the rest is asked for too, and only an answer that is no 206 is taken.
 * RFC 9110 §13.1.5, §15.3.7.3, RFC 9111 §3.4. `open`: the bodies of the parts, those that are there.
 */
export function completing(inner: Fetcher, parts: Parts, open: () => Promise<OpenParts>): Fetcher {
  return {
    name: inner.name,
    locate: inner.locate?.bind(inner),
    async fetch(request, options = {}) {
      if (CONDITIONS.some((field) => request.headers.has(field)))
        return await inner.fetch(request, options);
      const opened = await open();
      try {
        const whole = await complete(inner, parts, opened, request, options);
        if (whole) return whole;
      } catch (error) {
        opened.close();
        throw error;
      }
      opened.close();
      return await inner.fetch(request, options);
    },
  };
}

// Absent: the whole has to be asked for.
async function complete(
  inner: Fetcher,
  parts: Parts,
  opened: OpenParts,
  request: FetchRequest,
  options: FetchOptions,
): Promise<Fetched | undefined> {
  const stretches = stretchesOf(opened, parts.total);
  const missing = stretches.find(({ kept }) => !kept);
  if (missing === undefined || stretches.length === 1) return undefined;
  const ask = async (range: ByteRange): Promise<Fetched> =>
    await inner.fetch(
      { ...request, headers: rangeHeaders(request.headers, range, parts) },
      options,
    );
  const first = await ask(missing).catch(orNonsense);
  if (first === undefined) return undefined;
  if (first.status !== 206 && first.status !== 416) {
    opened.close();
    return first;
  }
  if (!fits(first, missing, parts)) {
    discard(first.body);
    return undefined;
  }
  const read = async (stretch: Stretch): Promise<Body> => {
    if (stretch.kept) return opened.open(stretch);
    if (stretch === missing) return first.body;
    const next = await ask(stretch);
    if (fits(next, stretch, parts)) return next.body;
    discard(next.body);
    throw new ProxyError('upstream', 'partial.complete', 'it changed while it was completed');
  };
  const segments = stretches.map(
    (stretch): Segment => ({ size: lengthOf(stretch), open: async () => await read(stretch) }),
  );
  const body = oneAfterTheOther(segments, () => {
    first.body.destroy();
    opened.close();
  });
  const { source, fromPeer, unkept } = first;
  return { status: 200, headers: combined(first.headers, parts), body, source, fromPeer, unkept };
}

// What was asked for of this node's own accord, and answered with nonsense, must not keep anyone from the whole.
function orNonsense(error: unknown): undefined {
  if (kindOf(error) !== 'upstream') throw error;
}

/** The longest runs, with what is missing between them. Where nothing is, the last byte is asked for, so that the origin confirms the rest. */
function stretchesOf({ parts }: OpenParts, total: number): readonly Stretch[] {
  const runs = runsOf(parts)
    .toSorted((a, b) => lengthOf(b) - lengthOf(a))
    .slice(0, MAX_RUNS)
    .toSorted((a, b) => a.start - b.start);
  const stretches: Stretch[] = [];
  let at = 0;
  for (const { start, end } of runs) {
    if (start > at) stretches.push({ start: at, end: start - 1, kept: false });
    const last = lengthOf({ start, end }) === total ? end - 1 : end;
    if (last >= start) stretches.push({ start, end: last, kept: true });
    at = last + 1;
  }
  if (at < total) stretches.push({ start: at, end: total - 1, kept: false });
  return stretches;
}

function rangeHeaders(
  headers: HeaderList,
  { start, end }: ByteRange,
  { total, tag }: Parts,
): HeaderList {
  const last = end === total - 1 ? '' : String(end);
  const ranged = headers.append('Range', `bytes=${start}-${last}`);
  return tag === undefined ? ranged : ranged.append('If-Range', tag);
}

/** Whether an answer holds what was asked for of the same representation. */
function fits(
  { status, headers, complete, miss }: Fetched,
  wanted: ByteRange,
  parts: Parts,
): boolean {
  const range = status === 206 && miss !== true ? contentRangeOf(headers) : undefined;
  return (
    complete !== false &&
    range?.start === wanted.start &&
    range.end === wanted.end &&
    range.total === parts.total &&
    parts.tag !== undefined &&
    strongTag(headers) === parts.tag &&
    varyNames(headers).every((name) => parts.newest.vary.includes(name))
  );
}

/** The fields of the whole: those of the new answer, and what of the kept ones it does not name. RFC 9111 §3.4. */
function combined(answer: HeaderList, { newest, total }: Parts): HeaderList {
  const own = answer.without('content-range', 'content-length');
  const named = [...own.lines.map(([name]) => name), ...OF_ONE_MESSAGE];
  const stored = newest.headers.without(...named);
  return new HeaderList([...stored.lines, ...own.lines, ['Content-Length', String(total)]]);
}
