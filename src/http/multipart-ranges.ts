import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Body, ByteRange } from '../body.ts';

/** Several parts of one body as one message. */
export interface MultipartRanges {
  readonly contentType: string;
  /** Bytes of the whole message, delimiters included. */
  readonly size: number;
  /** Reads the parts one after the other; `open` is called for each when its turn comes. */
  open(open: (range: ByteRange) => Body): Body;
}

/** A multipart/byteranges message (RFC 9110 §14.6). `contentType`: of the body. Absent: it has none. */
export function multipartRanges(
  ranges: readonly ByteRange[],
  size: number,
  contentType: string | undefined,
): MultipartRanges {
  const boundary = randomUUID();
  const typeLine = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`;
  const heads = ranges.map(({ start, end }) =>
    Buffer.from(
      `\r\n--${boundary}\r\n${typeLine}Content-Range: bytes ${start}-${end}/${size}\r\n\r\n`,
      'latin1',
    ),
  );
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const parts = ranges.reduce((sum, { start, end }) => sum + end - start + 1, 0);

  async function* read(open: (range: ByteRange) => Body): AsyncGenerator<Buffer> {
    for (const [index, range] of ranges.entries()) {
      yield heads[index] ?? tail;
      yield* open(range);
    }
    yield tail;
  }

  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    size: heads.reduce((sum, head) => sum + head.length, parts + tail.length),
    open: (open) => Readable.from(read(open), { objectMode: false }),
  };
}
