import type { Readable } from 'node:stream';
import { BLOCK_SIZE, type CallOptions } from '../body.ts';
import { kindOf, ProxyError } from '../errors.ts';
import { takeBlock } from './block-pool.ts';
import { MAX_TRIES } from './s3-client.ts';
import type { S3Objects } from './s3-objects.ts';
import type { BlockSource } from './verified-body.ts';

/** What a source reads. */
export interface S3SourceOptions extends CallOptions {
  readonly key: string;
  /** Bytes of the object. */
  readonly size: number;
  /** Last byte that will be asked for. */
  readonly end: number;
}

/** Blocks of an object, cut from one stream; a stream that breaks is taken up again at the block it broke in. */
export class S3Source implements BlockSource {
  readonly #objects: S3Objects;
  readonly #options: S3SourceOptions;
  readonly #end: number;
  #stream: Readable | undefined;
  #chunks: AsyncIterator<Buffer> | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #position = 0;
  #isClosed = false;

  constructor(objects: S3Objects, options: S3SourceOptions) {
    this.#objects = objects;
    this.#options = options;
    // Blocks are checked whole.
    const blockEnd = (Math.floor(options.end / BLOCK_SIZE) + 1) * BLOCK_SIZE - 1;
    this.#end = Math.min(blockEnd, options.size - 1);
  }

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
      }
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const chunks = this.#chunks;
    if (this.#position > this.#end && chunks !== undefined) {
      // Read to its end the connection can serve the next request.
      await chunks.next().catch(() => undefined);
    }
    this.#drop();
  }

  async #begin(start: number): Promise<void> {
    this.#drop();
    const { key, size, signal } = this.#options;
    this.#stream = await this.#objects.get(key, { start, end: this.#end }, size, { signal });
    if (this.#isClosed) {
      this.#drop();
      throw new ProxyError('aborted', 's3-source.read', 'the body was closed');
    }
    this.#chunks = this.#stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#position = start;
  }

  async #take(length: number): Promise<Buffer> {
    const block = takeBlock(length);
    let filled = 0;
    while (filled < length) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks?.next();
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

  #drop(): void {
    this.#stream?.destroy();
    this.#stream = undefined;
    this.#chunks = undefined;
    this.#rest = Buffer.alloc(0);
  }

  #failure(error: unknown): unknown {
    if (error instanceof ProxyError) return error;
    const kind = kindOf(error) === 'aborted' ? 'aborted' : 'unavailable';
    return new ProxyError(kind, 's3-source.read', `${this.#options.key} broke off`, {
      cause: error,
    });
  }
}
