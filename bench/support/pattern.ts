const PATTERN_BYTES = 1024 * 1024;
const PRIME = 2_654_435_761;

/** Bytes of every generated body, repeated: byte n is that of n modulo its length. */
const PATTERN: Buffer = Buffer.alloc(PATTERN_BYTES);
for (let at = 0; at < PATTERN_BYTES; at += 4) PATTERN.writeUInt32LE((at * PRIME) >>> 0, at);

/** The bytes from `offset`, up to the end of the pattern or `end`. */
export function pieceAt(offset: number, end: number): Buffer {
  const from = offset % PATTERN_BYTES;
  return PATTERN.subarray(from, Math.min(PATTERN_BYTES, from + end - offset));
}

/** Throws when a piece of a body is not what was generated for its offset. */
export function checkPiece(piece: Buffer, offset: number): void {
  for (let at = 0; at < piece.length; ) {
    const expected = pieceAt(offset + at, offset + piece.length);
    if (expected.compare(piece, at, at + expected.length) !== 0) {
      throw new Error(`wrong bytes between ${offset + at} and ${offset + at + expected.length}`);
    }
    at += expected.length;
  }
}
