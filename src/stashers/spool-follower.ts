import { Readable } from 'node:stream';
import type { OpenOptions } from '../body.ts';
import { SPOOL_READ } from '../storage/block-pool.ts';

/** What a follower reads from; the growing body behind it. */
export interface SpoolSource {
  /** Bytes that may be shown now. */
  readonly visible: number;
  /** True: no more will come, and what came is whole. */
  readonly ended: boolean;
  /** Bytes at a position, if they lie in memory; up to `limit`, an absolute position. */
  memory(position: number, limit: number): Buffer | undefined;
  /** Bytes at a position from the file, at most `length`. */
  disk(position: number, length: number): Promise<Buffer>;
  /** The follower took bytes. */
  moved(): void;
  /** The follower ended or went away. */
  left(follower: SpoolFollower): void;
}

/** One reader of a growing body: from memory at the live edge, from the file behind it. Destroying it harms no other. */
export class SpoolFollower extends Readable {
  readonly #source: SpoolSource;
  readonly #end: number;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => {
    this.destroy(this.#signal?.reason as Error);
  };
  #position: number;
  #wanted = false;
  #reading = false;

  constructor(source: SpoolSource, options: OpenOptions) {
    super({ highWaterMark: 128 * 1024, autoDestroy: true });
    this.#source = source;
    this.#position = options.range?.start ?? 0;
    this.#end = options.range === undefined ? Number.POSITIVE_INFINITY : options.range.end + 1;
    this.#signal = options.signal;
    if (this.#signal?.aborted) queueMicrotask(this.#onAbort);
    else this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Where the next byte comes from. */
  get position(): number {
    return this.#position;
  }

  /** There may be more to read. */
  wake(): void {
    if (this.#wanted) this.#pump();
  }

  override _read(): void {
    this.#wanted = true;
    this.#pump();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#source.left(this);
    callback(error);
  }

  #pump(): void {
    while (this.#wanted && !this.#reading && !this.destroyed) {
      const limit = Math.min(this.#end, this.#source.visible);
      if (this.#position >= limit) {
        if (this.#position < this.#end && !this.#source.ended) return;
        this.#wanted = false;
        this.push(null);
        return;
      }
      const bytes = this.#source.memory(this.#position, limit);
      if (bytes) this.#give(bytes);
      else void this.#fromDisk(Math.min(SPOOL_READ, limit - this.#position));
    }
  }

  #give(bytes: Buffer): void {
    this.#position += bytes.length;
    this.#wanted = this.push(bytes);
    this.#source.moved();
  }

  async #fromDisk(length: number): Promise<void> {
    this.#reading = true;
    try {
      const bytes = await this.#source.disk(this.#position, length);
      this.#reading = false;
      if (this.destroyed) return;
      this.#give(bytes);
      this.#pump();
    } catch (error) {
      this.#reading = false;
      this.destroy(error as Error);
    }
  }
}
