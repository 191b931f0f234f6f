import { createHash } from 'node:crypto';
import { crc32, createInflateRaw, inflateRawSync } from 'node:zlib';
import { passedThrough } from '../young-memory.ts';

/** What was read of a deflated file. */
export interface Inflated {
  /** Bytes in the zip that it took. */
  readonly packed: number;
  readonly size: number;
  readonly crc: number;
  /** In hex. */
  readonly sha256: string;
}

/** Why a deflated file could not be read: wrong bytes, more output than allowed, or more input is needed. */
export type InflateFailure = 'corrupt' | 'too large' | 'cut';

interface WithEngine {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

const OUTPUT_CHUNK = 128 * 1024;
/** Output to make room for where nothing says how much it will be. */
const GUESS = 32 * 1024;

/** Inflates at once what lies at the beginning of `bytes`; what follows it is left alone. */
export function inflateWhole(
  bytes: Buffer,
  maxOutput: number,
  expected: number = GUESS,
): (Omit<Inflated, 'sha256'> & { readonly content: Buffer }) | InflateFailure {
  // The smallest chunk of zlib is 64 bytes; one more than expected spares a second one.
  const chunkSize = Math.min(Math.max(expected + 1, 64), OUTPUT_CHUNK);
  try {
    const found: unknown = inflateRawSync(bytes, {
      info: true,
      maxOutputLength: maxOutput,
      chunkSize,
    });
    const { buffer, engine } = found as WithEngine;
    return {
      content: buffer,
      packed: engine.bytesWritten,
      size: buffer.length,
      crc: crc32(buffer),
    };
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === 'Z_BUF_ERROR') return 'cut';
    return code === 'ERR_BUFFER_TOO_LARGE' ? 'too large' : 'corrupt';
  }
}

/** Inflates one large file piece by piece; holds no more than a chunk of it. */
export class EntryInflate {
  readonly #inflate = createInflateRaw({ chunkSize: OUTPUT_CHUNK });
  readonly #hash = createHash('sha256');
  readonly #ended = Promise.withResolvers<void>();
  readonly #maxOutput: number;
  #given = 0;
  #size = 0;
  #crc = 0;
  #failure: InflateFailure | undefined;

  constructor(maxOutput: number) {
    this.#maxOutput = maxOutput;
    this.#inflate.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#inflate.on('error', (error: Error & { code?: unknown }) => {
      this.#failure ??= error.code === 'Z_BUF_ERROR' ? 'cut' : 'corrupt';
    });
    // After an error, and when it is let go of, there is no `end`.
    this.#inflate.on('end', () => this.#ended.resolve());
    this.#inflate.on('close', () => this.#ended.resolve());
  }

  /** Bytes of output so far. */
  get size(): number {
    return this.#size;
  }

  /** Takes more of the file and perhaps what follows it; the bytes are free again when it resolves. Absent: more is needed. */
  async write(bytes: Buffer): Promise<Inflated | InflateFailure | undefined> {
    this.#given += bytes.length;
    const written = new Promise<void>((resolve) => this.#inflate.write(bytes, () => resolve()));
    await Promise.race([written, this.#ended.promise]);
    if (this.#failure !== undefined) return this.#failure;
    // The engine takes all that it is given until its end.
    if (this.#inflate.bytesWritten === this.#given) return undefined;
    await this.#ended.promise;
    return this.#failure ?? this.#result();
  }

  /** There is no more input. */
  async end(): Promise<Inflated | InflateFailure> {
    this.#inflate.end();
    await this.#ended.promise;
    return this.#failure ?? this.#result();
  }

  /** Lets go of everything. */
  abort(): void {
    this.#failure ??= 'cut';
    this.#inflate.destroy();
  }

  #take(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#failure !== undefined) return;
    if (this.#size > this.#maxOutput) {
      this.#failure = 'too large';
      this.#inflate.destroy();
      return;
    }
    this.#hash.update(chunk);
    this.#crc = crc32(chunk, this.#crc);
    passedThrough(chunk.length);
  }

  #result(): Inflated {
    const packed = this.#inflate.bytesWritten;
    this.#inflate.destroy();
    return { packed, size: this.#size, crc: this.#crc, sha256: this.#hash.digest('hex') };
  }
}
