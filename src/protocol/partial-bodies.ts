import { Readable } from 'node:stream';
import type { Body, ByteRange, OpenOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Supply } from './arrival.ts';
import { lengthOf } from './byte-ranges.ts';
import type { PullThroughOptions } from './filler.ts';
import { openEntry } from './open-entry.ts';
import { cover, type Part, type Piece } from './partial-content.ts';
import type { Content } from './protocol.ts';

/** Parts whose bodies are at hand. */
export interface OpenParts {
  /** Those whose bodies could be opened. */
  readonly parts: readonly Part[];
  /** The bytes of a range, from one part after the other. Throws `internal` where some are in none. */
  open(range: ByteRange, options?: OpenOptions): Body;
  /** Gives up what was opened; what is being read goes on. */
  close(): void;
}

/** Opens the bodies of parts; one that is gone, as on a node that never fetched it, is left out. Throws `aborted` alone. */
export async function openParts(
  parts: readonly Part[],
  supply: Supply,
  options: PullThroughOptions,
): Promise<OpenParts> {
  const contents = new Map<Part, Content>();
  const close = (): void => {
    for (const content of contents.values()) content.close();
  };
  try {
    for (const part of parts) {
      const content = await openEntry(part.entry, supply, options);
      if (content) contents.set(part, content);
    }
  } catch (error) {
    close();
    throw error;
  }
  const there = parts.filter((part) => contents.has(part));
  const read = ({ part, start, end }: Piece, signal: AbortSignal | undefined): Body => {
    const range = { start: start - part.start, end: end - part.start };
    const body = contents.get(part)?.open({ range, signal });
    if (!body) throw new ProxyError('internal', 'partial.open', 'a part is not open');
    return body;
  };
  return {
    parts: there,
    close,
    open: (range, { signal } = {}) => {
      const pieces = cover(there, range);
      if (!pieces) throw new ProxyError('internal', 'partial.open', 'bytes are in no part');
      const [only, more] = pieces;
      if (only && more === undefined) return read(only, signal);
      return oneAfterTheOther(
        pieces.map((piece) => ({
          size: lengthOf(piece),
          open: async () => read(piece, signal),
        })),
      );
    },
  };
}

/** A representation of `total` bytes of which parts are kept, as a body. */
export function partialContent(total: number, opened: OpenParts, incomplete: boolean): Content {
  return {
    size: total,
    seekable: true,
    incomplete,
    open: ({ range, signal } = {}) =>
      opened.open(range ?? { start: 0, end: total - 1 }, { signal }),
    close: opened.close,
  };
}

/** A body that is a stretch of a longer one. */
export interface Segment {
  /** Bytes that it must have. */
  readonly size: number;
  open(): Promise<Body>;
}

/**
 * Bodies as one, each opened when its turn comes; errors as they do, and with `integrity` before a byte would come to stand in
 * the wrong place. `closed`: called once nothing more is read.
 */
export function oneAfterTheOther(segments: readonly Segment[], closed?: () => void): Body {
  let current: Body | undefined;
  async function* read(): AsyncGenerator<Buffer> {
    for (const { size, open } of segments) {
      current = await open();
      let left = size;
      for await (const piece of current) {
        left -= (piece as Buffer).length;
        if (left < 0) throw wrongLength();
        yield piece as Buffer;
      }
      if (left > 0) throw wrongLength();
    }
  }
  const joined = Readable.from(read(), { objectMode: false });
  joined.once('close', () => {
    current?.destroy();
    closed?.();
  });
  return joined;
}

function wrongLength(): ProxyError {
  return new ProxyError('integrity', 'partial.read', 'a part is not as long as it says');
}
