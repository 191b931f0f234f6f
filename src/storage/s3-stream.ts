import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { BLOCK_SIZE, type CallOptions } from '../body.ts';
import { kindOf, ProxyError } from '../errors.ts';
import { takeBlock } from './block-pool.ts';
import { MAX_TRIES } from './s3-client.ts';
import type { S3Objects } from './s3-objects.ts';

/** What a stream reads. */
export interface S3StreamOptions extends CallOptions {
  readonly key: string;
  /** Bytes of the object. */
  readonly size: number;
  /** Last byte that will be asked for; whole blocks are read. */
  readonly end: number;
  /** Milliseconds that a block may take in which nothing comes, tries included. */
  readonly idleMs: number;
}

/** Longest wait before what broke off is taken up again, doubled each time; how much of it is waited is chance. */
const BACKOFF_MS = 100;

/** Blocks of an object, cut from one answer; one that breaks off or stands still is taken up again at the block it broke in. */
export class S3Stream {
  readonly #objects: S3Objects;
  readonly #options: S3StreamOptions;
  readonly #end: number;
  #stream: Readable | undefined;
  #chunks: AsyncIterator<Buffer> | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #position = 0;
  #isClosed = false;

  constructor(objects: S3Objects, options: S3StreamOptions) {
    this.#objects = objects;
    this.#options = options;
    // Blocks are checked whole.
    const blockEnd = (Math.floor(options.end / BLOCK_SIZE) + 1) * BLOCK_SIZE - 1;
    this.#end = Math.min(blockEnd, options.size - 1);
  }

  /** Block `index`, `length` bytes long; ascending, one at a time. */
  async read(index: number, length: number): Promise<Buffer> {
    const start = index * BLOCK_SIZE;
    for (let tries = 1; ; tries++) {
      try {
        if (this.#chunks === undefined || this.#position !== start) await this.#begin(start);
        return await this.#take(length);
      } catch (error) {
        this.#drop();
        const isFinal = error instanceof ProxyError && error.kind !== 'unavailable';
        if (isFinal || this.#isClosed || tries >= MAX_TRIES || kindOf(error) === 'aborted')
          throw this.#failure(error);
        await delay(Math.random() * BACKOFF_MS * 2 ** (tries - 1));
      }
    }
  }

  /** A read under way may fail. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const chunks = this.#chunks;
    if (this.#position > this.#end && chunks !== undefined) {
      // Read to its end the connection can serve the next request.
      await this.#next(chunks).catch(() => undefined);
    }
    this.#drop();
  }

  async #begin(start: number): Promise<void> {
    this.#drop();
    if (this.#isClosed) throw closed();
    const { key, size, signal } = this.#options;
    const stream = await this.#objects.get(key, { start, end: this.#end }, size, { signal });
    if (this.#isClosed) {
      stream.destroy();
      throw closed();
    }
    // It may break while nobody reads from it.
    stream.on('error', () => undefined);
    this.#stream = stream;
    this.#chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#position = start;
  }

  async #take(length: number): Promise<Buffer> {
    const block = takeBlock(length);
    let filled = 0;
    while (filled < length) {
      if (this.#rest.length === 0) {
        const next = this.#chunks && (await this.#next(this.#chunks));
        if (next === undefined || next.done === true) throw new Error('the object broke off');
        this.#rest = next.value;
      }
      const copied = this.#rest.copy(block, filled);
      this.#rest = this.#rest.subarray(copied);
      filled += copied;
    }
    this.#position += length;
    return block;
  }

  async #next(chunks: AsyncIterator<Buffer>): Promise<IteratorResult<Buffer>> {
    const stream = this.#stream;
    if (stream === undefined || stream.readableLength > 0) return await chunks.next();
    const patience = this.#options.idleMs / MAX_TRIES;
    const timer = setTimeout(() => stream.destroy(new Error('the store fell silent')), patience);
    try {
      return await chunks.next();
    } finally {
      clearTimeout(timer);
    }
  }

  #drop(): void {
    this.#stream?.destroy();
    this.#stream = undefined;
    this.#chunks = undefined;
    this.#rest = Buffer.alloc(0);
  }

  #failure(error: unknown): unknown {
    if (error instanceof ProxyError) return error;
    const kind = kindOf(error) === 'aborted' ? 'aborted' : 'unavailable';
    return new ProxyError(kind, 's3-stream.read', `${this.#options.key} broke off`, {
      cause: error,
    });
  }
}

function closed(): ProxyError {
  return new ProxyError('aborted', 's3-stream.read', 'the body was closed');
}
