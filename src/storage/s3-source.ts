import { BLOCK_SIZE } from '../body.ts';
import type { S3Objects } from './s3-objects.ts';
import { AheadSegment, type ReadAhead } from './s3-read-ahead.ts';
import { S3Stream, type S3StreamOptions } from './s3-stream.ts';
import type { BlockSource } from './verified-body.ts';

/** What a source reads. */
export interface S3SourceOptions extends S3StreamOptions {
  /** First byte that will be asked for. */
  readonly start: number;
  readonly ahead: ReadAhead;
}

/** Blocks that the first request asks for, and each that is fetched ahead. */
const SEGMENT = 4;
/** Blocks of a request at most, where one at a time is quick enough. */
const LONGEST = 64;
/** The same where more at once would help but there is no room for them. */
const CROWDED = 16;
/** Requests on their way at once, beside the one that is being read from. */
const WIDTH = 3;
/** Who leaves after the first blocks has not had others fetched. */
const FIRST_BLOCKS = 2;
/** A store that gives a block in so many milliseconds keeps a node busy over one connection. */
const QUICK_MS = 5;

/** What is being read from, or will be: an answer as it comes, or what was fetched ahead. */
interface Current {
  readonly first: number;
  readonly last: number;
  read(index: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

/**
 * Blocks of an object. A long body comes in segments. While whoever reads waits for a slow store, a few of them are on their
 * way at once; else one request at a time, each longer than the one before, and nothing in memory.
 */
export class S3Source implements BlockSource {
  readonly #objects: S3Objects;
  readonly #options: S3SourceOptions;
  readonly #last: number;
  readonly #isLong: boolean;
  #current: Current | undefined;
  #next: Current[] = [];
  #width = 0;
  #length = SEGMENT;
  #waited = 0;
  #idle = 0;
  #reads = 0;
  #givenAt = 0;
  #isClosed = false;

  constructor(objects: S3Objects, options: S3SourceOptions) {
    this.#objects = objects;
    this.#options = options;
    this.#last = Math.floor(options.end / BLOCK_SIZE);
    const blocks = this.#last - Math.floor(options.start / BLOCK_SIZE) + 1;
    this.#isLong = blocks > 2 * SEGMENT;
    if (!this.#isLong) this.#length = blocks;
  }

  async read(index: number, length: number): Promise<Buffer> {
    const askedAt = performance.now();
    const current =
      this.#current !== undefined && index <= this.#current.last
        ? this.#current
        : await this.#turnTo(index);
    this.#prepare(current, index);
    const block = await current.read(index, length);
    const now = performance.now();
    if (++this.#reads > FIRST_BLOCKS) {
      this.#waited += now - askedAt;
      this.#idle += askedAt - this.#givenAt;
    }
    this.#givenAt = now;
    return block;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const open = [this.#current, ...this.#next];
    this.#current = undefined;
    this.#next = [];
    await Promise.all(open.map(async (one) => await one?.close()));
  }

  async #turnTo(index: number): Promise<Current> {
    await this.#current?.close();
    const next = this.#next.shift();
    if (next !== undefined && next.first !== index) await next.close();
    const current = next?.first === index ? next : this.#direct(index);
    this.#current = current;
    if (this.#isClosed) await this.close();
    return current;
  }

  /** Near the end of a segment: judges how it came, and asks for what follows. */
  #prepare(current: Current, index: number): void {
    if (!this.#isLong || this.#isClosed || current.last - index >= SEGMENT) return;
    this.#judge();
    while (this.#next.length < this.#width && this.#fetchAhead(current));
    const isNear = current.last - index < FIRST_BLOCKS;
    const first = current.last + 1;
    if (isNear && this.#next.length === 0 && first <= this.#last) {
      const direct = this.#direct(first);
      direct.begin();
      this.#next.push(direct);
    }
  }

  #judge(): void {
    const measured = this.#reads - FIRST_BLOCKS;
    if (measured < FIRST_BLOCKS) return;
    const isWaiting = this.#waited > this.#idle;
    if (!isWaiting) this.#width = Math.max(0, this.#width - 1);
    else if (this.#waited > QUICK_MS * measured) {
      this.#width = Math.min(WIDTH, this.#width + 1);
      this.#length = SEGMENT;
    }
    this.#reads = FIRST_BLOCKS;
    this.#waited = 0;
    this.#idle = 0;
  }

  #fetchAhead(current: Current): boolean {
    const { ahead, size } = this.#options;
    const first = (this.#next.at(-1)?.last ?? current.last) + 1;
    const last = Math.min(first + SEGMENT - 1, this.#last);
    if (first > last || !ahead.take(last - first + 1)) return false;
    const lengthOf = (index: number): number => Math.min(BLOCK_SIZE, size - index * BLOCK_SIZE);
    this.#next.push(new AheadSegment(this.#stream(last), ahead, { first, last }, lengthOf));
    return true;
  }

  #direct(first: number): Current & { begin(): void } {
    const length = this.#width > 0 ? CROWDED : this.#length;
    this.#length = Math.min(LONGEST, 2 * this.#length);
    const last = Math.min(first + length - 1, this.#last);
    const stream = this.#stream(last);
    return {
      first,
      last,
      begin: () => stream.begin(first),
      read: async (index, bytes) => await stream.read(index, bytes),
      close: async () => await stream.close(),
    };
  }

  #stream(last: number): S3Stream {
    const end = Math.min((last + 1) * BLOCK_SIZE - 1, this.#options.size - 1);
    return new S3Stream(this.#objects, { ...this.#options, end });
  }
}
