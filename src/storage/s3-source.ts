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

/** Blocks that one request asks for. */
const SEGMENT = 4;
/** The same where there is no room to read ahead, so that fewer requests are waited for. */
const LONG_SEGMENT = 16;
/** Requests on their way at once, beside the one that is being read from. */
const WIDTH = 3;
/** Who leaves after the first blocks has not had others fetched. */
const FIRST_BLOCKS = 2;

/** What is being read from: an answer as it comes, or what was fetched ahead. */
interface Current {
  readonly last: number;
  read(index: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

/**
 * Blocks of an object. A long body comes in segments, a few of them at once while whoever reads waits for the store; who
 * reads slower than the store gives has one request at a time and nothing in memory.
 */
export class S3Source implements BlockSource {
  readonly #objects: S3Objects;
  readonly #options: S3SourceOptions;
  readonly #last: number;
  readonly #isLong: boolean;
  #current: Current | undefined;
  #ahead: AheadSegment[] = [];
  #width = 0;
  #hasWaited = false;
  #isRefused = false;
  #reads = 0;
  #givenAt = 0;
  #isClosed = false;

  constructor(objects: S3Objects, options: S3SourceOptions) {
    this.#objects = objects;
    this.#options = options;
    this.#last = Math.floor(options.end / BLOCK_SIZE);
    const blocks = this.#last - Math.floor(options.start / BLOCK_SIZE) + 1;
    this.#isLong = blocks > 2 * SEGMENT;
  }

  async read(index: number, length: number): Promise<Buffer> {
    const askedAt = performance.now();
    const current =
      this.#current !== undefined && index <= this.#current.last
        ? this.#current
        : await this.#turnTo(index);
    this.#fetchAhead(current);
    const block = await current.read(index, length);
    const now = performance.now();
    const isWaiting = now - askedAt > askedAt - this.#givenAt;
    this.#givenAt = now;
    if (++this.#reads > FIRST_BLOCKS && isWaiting && !this.#hasWaited) {
      this.#hasWaited = true;
      this.#width = Math.min(WIDTH, this.#width + 1);
    }
    return block;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const open = [this.#current, ...this.#ahead];
    this.#current = undefined;
    this.#ahead = [];
    await Promise.all(open.map(async (one) => await one?.close()));
  }

  async #turnTo(index: number): Promise<Current> {
    if (this.#current !== undefined && !this.#hasWaited) this.#width = Math.max(0, this.#width - 1);
    this.#hasWaited = false;
    await this.#current?.close();
    const ahead = this.#ahead.shift();
    if (ahead !== undefined && ahead.first !== index) await ahead.close();
    const current = ahead?.first === index ? ahead : this.#direct(index);
    this.#current = current;
    if (this.#isClosed) await this.close();
    return current;
  }

  #direct(first: number): Current {
    const blocks = this.#isRefused ? LONG_SEGMENT : SEGMENT;
    const last = this.#isLong ? Math.min(first + blocks - 1, this.#last) : this.#last;
    const stream = this.#stream(last);
    return {
      last,
      read: async (index, length) => await stream.read(index, length),
      close: async () => await stream.close(),
    };
  }

  #fetchAhead(current: Current): void {
    const { ahead, size } = this.#options;
    this.#isRefused = false;
    while (this.#isLong && this.#ahead.length < this.#width && !this.#isClosed) {
      const first = (this.#ahead.at(-1)?.last ?? current.last) + 1;
      const last = Math.min(first + SEGMENT - 1, this.#last);
      if (first > last) return;
      this.#isRefused = !ahead.take(last - first + 1);
      if (this.#isRefused) return;
      const lengthOf = (index: number): number => Math.min(BLOCK_SIZE, size - index * BLOCK_SIZE);
      this.#ahead.push(new AheadSegment(this.#stream(last), ahead, { first, last }, lengthOf));
    }
  }

  #stream(last: number): S3Stream {
    const end = Math.min((last + 1) * BLOCK_SIZE - 1, this.#options.size - 1);
    return new S3Stream(this.#objects, { ...this.#options, end });
  }
}
