import { createHash, type Hash, hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { EntryInflate, type Inflated, type InflateFailure, inflateWhole } from './zip-inflate.ts';
import {
  DEFLATED,
  descriptorCrc,
  descriptorLength,
  descriptorsBefore,
  MAX_DESCRIPTOR,
  readLocalHeader,
  type SeenFile,
  STORED,
} from './zip-local.ts';
import { MAX_ZIP } from './zip-rules.ts';
import { findSignature, signatureAt } from './zip-tail.ts';

/** Deflated files up to this many bytes in the zip, and of output, are inflated at once, which is cheaper than piece by piece. */
const WHOLE = 64 * 1024;
const WHOLE_OUTPUT = 2 * 1024 * 1024;
/** What a larger one is given at a time, at least: each time costs a way to another thread. */
const INFLATE_PIECE = 16 * 1024;
/** First guess of what a deflated file takes whose header does not say it. */
const GUESS = 8 * 1024;
/** Files of which results are kept, at most. */
const MAX_FILES = 300_000;

type Step = 'gap' | 'header' | 'whole' | 'inflate' | 'stored' | 'search' | 'behind' | 'over';

/**
 * Reads the files of a zip that passes, by their own headers, and hashes their content. What it finds counts only where
 * the directory at the end points to it. It looks for the next header behind each file, so that gaps do no harm.
 */
export class ZipScanner {
  /** What was read, by the offset of the file's header. */
  readonly files: Map<number, SeenFile> = new Map();
  /** Where the directory seems to begin. Absent: it did not come yet. */
  directoryAt: number | undefined;
  /** Why the rest was not read. Absent: nothing stopped it. */
  stopped: string | undefined;
  #step: Step = 'gap';
  #bytes: Buffer = Buffer.alloc(0);
  /** Offset in the zip of `#bytes`, and what of them is done with. */
  #base = 0;
  #at = 0;
  /** Bytes that must come before it is worth to go on; and of a deflated file, from which on it may be there whole. */
  #missing = 0;
  #wanted = 0;
  #waiting: Buffer[] = [];
  #isEnded = false;
  #file: SeenFile | undefined;
  /** Bytes of stored content to come. */
  #remaining = 0;
  /** Offset before which no signature is within stored content of unknown length, or none that ends it. */
  #searched = 0;
  #content: Hash | undefined;
  #inflate: EntryInflate | undefined;
  #total = 0;

  /** Offset in the zip before which everything is read. */
  get position(): number {
    return this.directoryAt ?? this.#base + this.#at;
  }

  /** True: nothing more is read. */
  get isOver(): boolean {
    return this.#step === 'over';
  }

  /** Takes the next piece, which is free again on return; the next one waits for the promise. Never rejects. */
  write(piece: Buffer): Promise<void> | undefined {
    if (this.isOver) return undefined;
    this.#missing -= piece.length;
    if (this.#missing > 0) {
      this.#waiting.push(Buffer.from(piece));
      return undefined;
    }
    this.#waiting.push(piece);
    this.#join();
    return this.#run();
  }

  /** There is no more. */
  async end(): Promise<void> {
    this.#isEnded = true;
    this.#join();
    await this.#run();
    if (this.#file !== undefined && !this.isOver) this.#stop('cut');
  }

  /** Lets go of everything. */
  abort(): void {
    this.#step = 'over';
    this.#inflate?.abort();
    this.#bytes = Buffer.alloc(0);
    this.#waiting = [];
  }

  get #available(): number {
    return this.#bytes.length - this.#at;
  }

  #join(): void {
    this.#bytes = Buffer.concat([this.#bytes.subarray(this.#at), ...this.#waiting]);
    this.#base += this.#at;
    this.#at = 0;
    this.#waiting = [];
  }

  #run(): Promise<void> | undefined {
    for (;;) {
      const isDone = this.#next();
      if (isDone instanceof Promise) return isDone.then((more) => (more ? this.#run() : undefined));
      if (!isDone) return undefined;
    }
  }

  /** One step; false: it needs more bytes. */
  #next(): boolean | Promise<boolean> {
    switch (this.#step) {
      case 'gap':
        return this.#seekHeader();
      case 'header':
        return this.#readHeader();
      case 'whole':
        return this.#readWhole();
      case 'inflate':
        return this.#readDeflated();
      case 'stored':
        return this.#readStored();
      case 'search':
        return this.#searchStored();
      case 'behind':
        return this.#readBehind();
      case 'over':
        return false;
    }
  }

  /** False unless that many bytes lie there, or no more will come. */
  #has(bytes: number): boolean {
    this.#missing = bytes - this.#available;
    return this.#missing <= 0 || this.#isEnded;
  }

  #seekHeader(): boolean {
    const found = findSignature(this.#bytes, this.#at);
    if (found < 0) {
      this.#at = Math.max(this.#at, this.#bytes.length - 3);
      return false;
    }
    this.#at = found;
    this.#step = 'header';
    if (signatureAt(this.#bytes, found) === 'central') {
      this.directoryAt = this.#base + found;
      this.#step = 'over';
    }
    return true;
  }

  #readHeader(): boolean {
    const header = readLocalHeader(this.#bytes, this.#at, this.#base + this.#at);
    if (typeof header === 'number') return this.#has(header) && this.#stop('cut');
    const { file, length } = header;
    if (this.files.size >= MAX_FILES) return this.#stop('too many files');
    this.files.set(file.offset, file);
    this.#file = file;
    this.#at += length;
    if (file.method === DEFLATED) {
      this.#wanted = Math.min(file.packedHint ?? GUESS, WHOLE);
      this.#step = (file.packedHint ?? 0) > WHOLE ? 'inflate' : 'whole';
    } else if (file.method === STORED) {
      this.#remaining = file.packedHint ?? 0;
      this.#step = file.packedHint === undefined ? 'search' : 'stored';
    } else {
      // How its content is packed is not known; the next header ends it.
      file.state = 'unsupported';
      this.#file = undefined;
      this.#step = 'gap';
    }
    return true;
  }

  #readWhole(): boolean {
    const file = this.#file as SeenFile;
    if (!this.#has(this.#wanted)) return false;
    const bytes = this.#bytes.subarray(this.#at);
    const room = Math.max(1, Math.min(WHOLE_OUTPUT, MAX_ZIP - this.#total));
    const found = inflateWhole(bytes.subarray(0, 2 * WHOLE), room, file.sizeHint);
    if (typeof found === 'object') {
      const { content, ...rest } = found;
      this.#at += rest.packed;
      return this.#finish({ ...rest, sha256: hash('sha256', content, 'hex') });
    }
    if (found === 'corrupt') return this.#stop('corrupt');
    if (found === 'too large' || bytes.length >= WHOLE) {
      this.#step = 'inflate';
      return true;
    }
    this.#wanted = Math.min(2 * Math.max(bytes.length, 64), WHOLE);
    return this.#isEnded ? this.#stop('cut') : this.#has(this.#wanted);
  }

  async #readDeflated(): Promise<boolean> {
    this.#inflate ??= new EntryInflate(MAX_ZIP - this.#total);
    const bytes = this.#bytes.subarray(this.#at);
    const isLast = this.#isEnded && bytes.length === 0;
    const found = await (isLast ? this.#inflate.end() : this.#inflate.write(bytes));
    if (this.isOver) return false;
    if (found === undefined) {
      this.#at = this.#bytes.length;
      this.#missing = INFLATE_PIECE;
      return this.#isEnded;
    }
    const file = this.#file as SeenFile;
    file.size = this.#inflate.size;
    this.#inflate.abort();
    this.#inflate = undefined;
    if (typeof found === 'string') return this.#stop(found);
    // What came in earlier pieces is not among these bytes.
    this.#at = file.data + found.packed - this.#base;
    return this.#finish(found);
  }

  #readStored(): boolean {
    const taken = Math.min(this.#remaining, this.#available);
    this.#remaining -= taken;
    this.#take(taken);
    if (this.#remaining > 0) return this.#isEnded && this.#stop('cut');
    return this.#finishStored();
  }

  /** The end of stored content whose length nobody told is where a descriptor fits what came before it. */
  #searchStored(): boolean {
    const file = this.#file as SeenFile;
    const data = file.data - this.#base;
    let found = findSignature(this.#bytes, Math.max(this.#at, this.#searched - this.#base));
    for (; found >= 0; found = findSignature(this.#bytes, found + 1)) {
      // What a descriptor before a later signature may begin in is not taken.
      this.#take(found - MAX_DESCRIPTOR - this.#at);
      for (const { at, length, crc } of descriptorsBefore(this.#bytes, found, data)) {
        if (at < this.#at || crc32(this.#bytes.subarray(this.#at, at), file.crc) !== crc) continue;
        this.#take(at - this.#at);
        file.descriptorCrc = crc;
        this.#finishStored('gap');
        this.#file = undefined;
        this.#at += length;
        return true;
      }
    }
    this.#searched = this.#base + this.#bytes.length - 3;
    this.#take(this.#available - MAX_DESCRIPTOR - 3);
    return this.#isEnded && this.#stop('cut');
  }

  #readBehind(): boolean {
    const file = this.#file as SeenFile;
    if (!this.#has(MAX_DESCRIPTOR + 4)) return false;
    file.descriptorCrc = descriptorCrc(this.#bytes, this.#at);
    if (file.isDescribed) this.#at += descriptorLength(this.#bytes, this.#at, file);
    this.#file = undefined;
    this.#step = 'gap';
    return true;
  }

  #take(length: number): void {
    if (length <= 0) return;
    const file = this.#file as SeenFile;
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#content ??= createHash('sha256');
    this.#content.update(bytes);
    file.crc = crc32(bytes, file.crc);
    file.size += length;
    this.#at += length;
  }

  #finishStored(next: Step = 'behind'): true {
    const file = this.#file as SeenFile;
    const content = this.#content ?? createHash('sha256');
    this.#content = undefined;
    const { size, crc } = file;
    return this.#finish({ packed: size, size, crc, sha256: content.digest('hex') }, next);
  }

  /** The content ends at `#at`. */
  #finish(found: Inflated, next: Step = 'behind'): true {
    const file = this.#file as SeenFile;
    Object.assign(file, found);
    file.state = 'read';
    this.#total += found.size;
    this.#step = next;
    return true;
  }

  #stop(why: InflateFailure | 'too many files'): true {
    this.stopped = why;
    if (this.#file !== undefined && why !== 'too many files') this.#file.state = why;
    this.abort();
    return true;
  }
}
