import { lendPart } from '../storage/block-pool.ts';
import { giveBack } from '../young-memory.ts';

interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
  /** Readers that have a part of it and did not say that they are done, and the window. */
  holders: number;
}

/**
 * The newest pieces of a growing body that are still in memory, in order and without gaps. They belong to the window: their memory is
 * given back once they left it and every reader that has parts of them said so.
 */
export class PieceWindow {
  readonly #isGivenBack: boolean;
  #pieces: Piece[] = [];
  #end = 0;

  /** `isGivenBack`: false where others keep pieces too, so that their memory is left to the collector. */
  constructor(isGivenBack: boolean) {
    this.#isGivenBack = isGivenBack;
  }

  /** Where the next piece begins. */
  get end(): number {
    return this.#end;
  }

  /** Bytes held. */
  get size(): number {
    return this.#end - (this.#pieces[0]?.offset ?? this.#end);
  }

  push(bytes: Buffer): void {
    // The first piece may lie elsewhere still: whoever hashes bodies waits with it for the second.
    const holders = this.#isGivenBack && this.#end > 0 ? 1 : 2;
    this.#pieces.push({ offset: this.#end, bytes, holders });
    this.#end += bytes.length;
  }

  /**
   * Bytes at a position up to `limit`, as far as one piece has them, for one reader, who may `recycle` them. Absent: they are no
   * longer here.
   */
  at(position: number, limit: number): Buffer | undefined {
    const first = this.#pieces[0];
    if (!first || position < first.offset) return undefined;
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#pieces[middle] as Piece).offset <= position) low = middle;
      else high = middle - 1;
    }
    const piece = this.#pieces[low] as Piece;
    const { bytes, offset } = piece;
    const part = bytes.subarray(position - offset, Math.min(bytes.length, limit - offset));
    piece.holders += 1;
    lendPart(part, () => letGo(piece));
    return part;
  }

  /** The pieces from a position on, which is where one begins. */
  from(position: number): Buffer[] {
    return this.#pieces.filter(({ offset }) => offset >= position).map(({ bytes }) => bytes);
  }

  /** Lets go of pieces that end at or before a position; the last one stays where `keepLast` says so. */
  dropBefore(position: number, keepLast: boolean): void {
    const end = this.#pieces.length - (keepLast ? 1 : 0);
    let gone = 0;
    while (gone < end) {
      const { offset, bytes } = this.#pieces[gone] as Piece;
      if (offset + bytes.length > position) break;
      gone += 1;
    }
    if (gone > 0) for (const piece of this.#pieces.splice(0, gone)) letGo(piece);
  }

  /** Everything in one buffer that holds nothing else; only for a window that dropped nothing. */
  whole(): Buffer {
    const [first] = this.#pieces;
    // Network buffers are slices of larger ones: a small body kept for long must not pin 64 KiB.
    const pinned = first ? first.bytes.buffer.byteLength > 2 * first.bytes.length : false;
    if (this.#pieces.length === 1 && first && !pinned) return first.bytes;
    const bytes = Buffer.allocUnsafeSlow(this.#end);
    for (const piece of this.#pieces) bytes.set(piece.bytes, piece.offset);
    this.#pieces = this.#end === 0 ? [] : [{ offset: 0, bytes, holders: 2 }];
    return bytes;
  }
}

function letGo(piece: Piece): void {
  piece.holders -= 1;
  if (piece.holders === 0) giveBack(piece.bytes);
}
