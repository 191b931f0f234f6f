import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { BLOCK_SIZE, type Body, type OpenOptions } from '../../src/body.ts';
import type { Incoming, Sealed } from '../../src/storage/backend.ts';
import { digestOf } from '../../src/storage/digest.ts';

/** What a whole body is sealed as. */
export function sealedBytes(bytes: Buffer): Sealed {
  const blocks: Buffer[] = [];
  for (let from = 0; from < bytes.length; from += BLOCK_SIZE) {
    blocks.push(
      createHash('sha256')
        .update(bytes.subarray(from, from + BLOCK_SIZE))
        .digest(),
    );
  }
  return { digest: digestOf(bytes), size: bytes.length, blocks: Buffer.concat(blocks) };
}

/** How a growing body of a test behaves. */
export interface GrowingBodyOptions {
  /** What will have come in the end. */
  readonly bytes: Buffer;
  /** Announced before the end. Absent: not. */
  readonly expectedSize?: number | undefined;
  /** The spool file that is handed over on demand. Absent: there is none. */
  readonly file?: string | undefined;
  /** True: `bytes` is offered once sealed. */
  readonly inMemory?: boolean | undefined;
}

/** A body that grows by `grow` and ends by `seal` or `cut`; any number of readers from byte 0. */
export class GrowingBody implements Incoming {
  readonly sealed: Promise<Sealed>;
  readonly expectedSize: number | undefined;
  /** Readers opened so far. */
  opened = 0;
  readonly #options: GrowingBodyOptions;
  readonly #settle: PromiseWithResolvers<Sealed>;
  #arrived = 0;
  #end: 'open' | 'sealed' | Error = 'open';
  #changed = Promise.withResolvers<void>();

  constructor(options: GrowingBodyOptions) {
    this.#options = options;
    this.expectedSize = options.expectedSize;
    this.#settle = Promise.withResolvers<Sealed>();
    this.sealed = this.#settle.promise;
    this.sealed.catch(() => undefined);
  }

  async takeFile(): Promise<string | undefined> {
    const { file, bytes } = this.#options;
    if (file !== undefined) await writeFile(file, bytes);
    return file;
  }

  get bytes(): Buffer | undefined {
    return this.#options.inMemory === true && this.#end === 'sealed'
      ? this.#options.bytes
      : undefined;
  }

  /** Lets `count` more bytes arrive. */
  grow(count: number): this {
    this.#arrived = Math.min(this.#arrived + count, this.#options.bytes.length);
    this.#wake();
    return this;
  }

  /** Lets the rest arrive; the body is whole. */
  seal(): this {
    this.grow(this.#options.bytes.length);
    this.#end = 'sealed';
    this.#settle.resolve(sealedBytes(this.#options.bytes));
    this.#wake();
    return this;
  }

  /** The body ends here and will never be whole. */
  cut(error: Error = new Error('the origin broke off')): this {
    this.#end = error;
    this.#settle.reject(error);
    this.#wake();
    return this;
  }

  open(options: OpenOptions = {}): Body {
    this.opened++;
    return Readable.from(this.#chunks(), { objectMode: false, signal: options.signal });
  }

  async *#chunks(): AsyncGenerator<Buffer> {
    let position = 0;
    for (;;) {
      while (position < this.#arrived) {
        const to = Math.min(position + 64 * 1024, this.#arrived);
        yield this.#options.bytes.subarray(position, to);
        position = to;
      }
      if (this.#end instanceof Error) throw this.#end;
      if (this.#end === 'sealed') return;
      await this.#changed.promise;
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** A body that is already whole. */
export function incomingOf(
  bytes: Buffer,
  options: Omit<GrowingBodyOptions, 'bytes'> = {},
): GrowingBody {
  return new GrowingBody({ bytes, ...options }).seal();
}
