import { BLOCK_SIZE } from '../body.ts';
import type { S3Stream } from './s3-stream.ts';

const DEFAULT_BYTES = 32 * 1024 * 1024;

/** Memory for what is read ahead of clients, all bodies of a backend together. */
export class ReadAhead {
  #free: number;

  /** Bytes. */
  constructor(bytes: number = DEFAULT_BYTES) {
    this.#free = bytes;
  }

  /** False: there is no room. */
  take(blocks: number): boolean {
    if (this.#free < blocks * BLOCK_SIZE) return false;
    this.#free -= blocks * BLOCK_SIZE;
    return true;
  }

  /** Gives back what was taken. */
  give(blocks: number): void {
    this.#free += blocks * BLOCK_SIZE;
  }
}

/** Blocks of a body that are fetched before anybody asks for them. */
export class AheadSegment {
  readonly first: number;
  readonly last: number;
  readonly #stream: S3Stream;
  readonly #ahead: ReadAhead;
  readonly #blocks: Promise<Buffer>[] = [];
  #isClosed = false;

  /** The room for it has been taken; `lengthOf` gives the bytes of a block. */
  constructor(
    stream: S3Stream,
    ahead: ReadAhead,
    { first, last }: { readonly first: number; readonly last: number },
    lengthOf: (index: number) => number,
  ) {
    this.first = first;
    this.last = last;
    this.#stream = stream;
    this.#ahead = ahead;
    let before: Promise<unknown> = Promise.resolve();
    for (let index = first; index <= last; index++) {
      const block = before.then(async () => await stream.read(index, lengthOf(index)));
      // Whoever takes the block sees the failure; if nobody does, it is no one's.
      block.catch(() => undefined);
      this.#blocks.push(block);
      before = block;
    }
  }

  async read(index: number): Promise<Buffer> {
    const block = this.#blocks[index - this.first];
    if (block === undefined) throw new Error(`block ${index} is not in ${this.first}-${this.last}`);
    return await block;
  }

  /** Gives back its room. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ahead.give(this.last - this.first + 1);
    await this.#stream.close();
  }
}
