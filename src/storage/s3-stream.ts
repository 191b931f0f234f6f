import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { BLOCK_SIZE, type CallOptions } from '../body.ts';
import { kindOf, ProxyError } from '../errors.ts';
import { passedThrough } from '../young-memory.ts';
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

/** A block that is being filled. */
interface Filling {
  readonly block: Buffer;
  filled: number;
  readonly done: PromiseWithResolvers<Buffer>;
}

/** Blocks of an object, cut from one answer; one that breaks off or stands still is taken up again at the block it broke in. */
export class S3Stream {
  readonly #objects: S3Objects;
  readonly #options: S3StreamOptions;
  readonly #end: number;
  #stream: Readable | undefined;
  #filling: Filling | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #position = 0;
  #begun: Promise<void> | undefined;
  #isClosed = false;

  constructor(objects: S3Objects, options: S3StreamOptions) {
    this.#objects = objects;
    this.#options = options;
    // Blocks are checked whole.
    const blockEnd = (Math.floor(options.end / BLOCK_SIZE) + 1) * BLOCK_SIZE - 1;
    this.#end = Math.min(blockEnd, options.size - 1);
  }

  /** Asks for the object from block `index` on before that is read. */
  begin(index: number): void {
    // Reading it tries again.
    this.#begun = this.#begin(index * BLOCK_SIZE).catch(() => undefined);
  }

  /** Block `index`, `length` bytes long; ascending, one at a time. */
  async read(index: number, length: number): Promise<Buffer> {
    const start = index * BLOCK_SIZE;
    await this.#begun;
    this.#begun = undefined;
    for (let tries = 1; ; tries++) {
      try {
        const isOpen = this.#stream?.destroyed === false && this.#position === start;
        if (!isOpen) await this.#begin(start);
        const block = await this.#take(length);
        this.#position += length;
        return block;
      } catch (error) {
        this.#drop();
        const isFinal = error instanceof ProxyError && error.kind !== 'unavailable';
        if (isFinal || this.#isClosed || tries >= MAX_TRIES || kindOf(error) === 'aborted')
          throw this.#failure(error);
        await delay(Math.random() * BACKOFF_MS * 2 ** (tries - 1));
      }
    }
  }

  /** A read under way fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    // Read to its end the connection can serve the next request.
    if (this.#position > this.#end && this.#rest.length === 0) this.#stream?.resume();
    else this.#drop();
    await Promise.resolve();
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
    this.#stream = stream;
    this.#position = start;
    const fail = (error: Error): void => {
      if (stream === this.#stream) this.#filling?.done.reject(error);
    };
    stream.on('error', fail);
    stream.on('close', () => fail(new Error('the object broke off')));
    stream.on('end', () => fail(new Error('the object broke off')));
    stream.on('data', (chunk: Buffer) => this.#add(stream, chunk));
    stream.pause();
  }

  async #take(length: number): Promise<Buffer> {
    const stream = this.#stream;
    if (stream === undefined || stream.destroyed) throw new Error('the object broke off');
    const filling = { block: takeBlock(length), filled: 0, done: Promise.withResolvers<Buffer>() };
    this.#filling = filling;
    const patience = this.#options.idleMs / MAX_TRIES;
    const silent = new Error('the store fell silent');
    const timer = setTimeout(() => filling.done.reject(silent), patience);
    const revive = (): unknown => timer.refresh();
    stream.on('data', revive);
    try {
      const rest = this.#rest;
      this.#rest = Buffer.alloc(0);
      if (rest.length > 0) this.#add(stream, rest);
      if (filling.filled < length) {
        if (stream.readableEnded) throw new Error('the object broke off');
        stream.resume();
      }
      return await filling.done.promise;
    } finally {
      this.#filling = undefined;
      stream.off('data', revive);
      clearTimeout(timer);
    }
  }

  #add(stream: Readable, chunk: Buffer): void {
    const filling = this.#filling;
    // What comes of an earlier answer, or when nobody waits any more.
    if (stream !== this.#stream) return;
    if (filling === undefined || filling.filled === filling.block.length) {
      this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
      return;
    }
    const copied = chunk.copy(filling.block, filling.filled);
    passedThrough(chunk.length);
    filling.filled += copied;
    if (filling.filled < filling.block.length) return;
    this.#rest = chunk.subarray(copied);
    stream.pause();
    filling.done.resolve(filling.block);
  }

  #drop(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#rest = Buffer.alloc(0);
    stream?.destroy();
    this.#filling?.done.reject(closed());
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
