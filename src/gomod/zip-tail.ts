const BLOCK = 64 * 1024;
/** The client looks for the end of the directory in the last 65 KiB, and for its 64-bit form right before. */
const KEEP = 66 * 1024;
/** Bytes of a directory that are kept, at most: room for over 100,000 files. */
const MAX_DIRECTORY = 32 * 1024 * 1024;
/** Blocks that wait for their next use, at most. */
const MAX_SPARE = 16;
/** Offsets of signatures that are kept, at most. */
const MAX_MARKS = 300_000;
const P = 0x50;
const K = 0x4b;

/** The last bytes of a zip. */
export interface ZipWindow {
  /** Bytes of the whole zip. */
  readonly size: number;
  /** Offset of the first byte held. */
  readonly start: number;
  /** The bytes from there to the end. */
  readonly bytes: Buffer;
}

/** Keeps the end of a zip that passes, however it is cut into pieces: its directory, or what may hold one. */
export class ZipTail {
  readonly #blocks: Buffer[] = [];
  readonly #spare: Buffer[] = [];
  #first = 0;
  #size = 0;

  /** Bytes that passed. */
  get size(): number {
    return this.#size;
  }

  /** Takes the next piece, which is free again on return. */
  push(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      const held = this.#size - this.#first;
      if (held === this.#blocks.length * BLOCK)
        this.#blocks.push(this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK));
      const taken = piece.copy(this.#blocks[this.#blocks.length - 1] as Buffer, held % BLOCK, at);
      at += taken;
      this.#size += taken;
    }
  }

  /** Bytes before this offset are in no directory: they are let go of, but for the last 66 KiB. The last 32 MiB stay at most. */
  release(offset: number): void {
    const wanted = Math.max(Math.min(offset, this.#size - KEEP), this.#size - MAX_DIRECTORY);
    while (this.#first + BLOCK <= wanted) {
      const block = this.#blocks.shift();
      if (block !== undefined && this.#spare.length < MAX_SPARE) this.#spare.push(block);
      this.#first += BLOCK;
    }
  }

  /** What is held now. */
  window(): ZipWindow {
    const bytes = Buffer.concat(this.#blocks, this.#size - this.#first);
    return { size: this.#size, start: this.#first, bytes };
  }
}

/** Notes where in a zip that passes the signatures of headers stand, true ones and those within content. */
export class ZipMarks {
  readonly #local = new Set<number>();
  readonly #central = new Set<number>();
  #carry: Buffer = Buffer.alloc(0);
  #at = 0;

  /** Takes the next piece, which is free again on return. */
  push(piece: Buffer): void {
    const carried = this.#carry.length;
    if (carried > 0) {
      const seam = Buffer.concat([this.#carry, piece.subarray(0, 3)]);
      this.#scan(seam, this.#at - carried, carried);
    }
    this.#scan(piece, this.#at, piece.length);
    this.#at += piece.length;
    const last =
      piece.length < 3 ? Buffer.concat([this.#carry, piece]) : Buffer.from(piece.subarray(-3));
    this.#carry = last.subarray(-3);
  }

  /** Whether the signature of a file's header stands here; absent: there were too many to know. */
  hasLocal(offset: number): boolean | undefined {
    return this.#local.has(offset) || (this.#local.size < MAX_MARKS ? false : undefined);
  }

  /** Whether the signature of an entry of the directory stands here; absent: there were too many to know. */
  hasCentral(offset: number): boolean | undefined {
    return this.#central.has(offset) || (this.#central.size < MAX_MARKS ? false : undefined);
  }

  /** Signatures that begin before `end` of the bytes and lie wholly in them. */
  #scan(bytes: Buffer, offset: number, end: number): void {
    for (let i = findSignature(bytes, 0); i >= 0 && i < end; i = findSignature(bytes, i + 1)) {
      const marks = bytes[i + 2] === 1 ? this.#central : this.#local;
      if (marks.size < MAX_MARKS) marks.add(offset + i);
    }
  }
}

/** Where the next signature of a file's header or of an entry of the directory stands, in full. -1: nowhere. */
export function findSignature(bytes: Buffer, from: number): number {
  for (
    let i = bytes.indexOf('PK', from, 'latin1');
    i >= 0;
    i = bytes.indexOf('PK', i + 1, 'latin1')
  ) {
    const kind = signatureAt(bytes, i);
    if (kind !== undefined) return i;
  }
  return -1;
}

/** Which signature stands at a place. Absent: neither, or not in full. */
export function signatureAt(bytes: Buffer, at: number): 'local' | 'central' | undefined {
  if (bytes[at] !== P || bytes[at + 1] !== K) return undefined;
  if (bytes[at + 2] === 3 && bytes[at + 3] === 4) return 'local';
  return bytes[at + 2] === 1 && bytes[at + 3] === 2 ? 'central' : undefined;
}
