import { createCipheriv, createHash } from 'node:crypto';
import { Writable } from 'node:stream';

/** Bytes of a block of AES. */
const CIPHER_BLOCK = 16;
/** Names the bytes of one body: those of another key or version are others. */
export interface OracleName {
  readonly seed: number;
  readonly key: string;
  /** From 1. */
  readonly version: number;
}

/** Makes the bytes of a body from any offset on, chunk by chunk (AES-256 in counter mode). */
export class OracleBytes {
  readonly #next: (size: number) => Buffer;

  constructor({ seed, key, version }: OracleName, offset = 0) {
    const secret = createHash('sha256').update(`${seed}\n${version}\n${key}`).digest();
    const counter = Buffer.alloc(CIPHER_BLOCK);
    counter.writeBigUInt64BE(BigInt(Math.floor(offset / CIPHER_BLOCK)), CIPHER_BLOCK / 2);
    const cipher = createCipheriv('aes-256-ctr', secret, counter);
    cipher.update(Buffer.alloc(offset % CIPHER_BLOCK));
    this.#next = (size) => cipher.update(Buffer.alloc(size));
  }

  /** The next `size` bytes. */
  take(size: number): Buffer {
    return this.#next(size);
  }
}

/** All bytes of a small body, or a piece of any body. */
export function oracleBytes(name: OracleName, size: number, offset = 0): Buffer {
  return new OracleBytes(name, offset).take(size);
}

/** What a body is compared with. */
export interface BodyCheckOptions {
  readonly seed: number;
  readonly key: string;
  /** Versions that it may be. */
  readonly versions: readonly number[];
  /** Offset in the whole body of the first byte handed in. Absent: 0. */
  readonly offset?: number | undefined;
  /** Bytes that must come. Absent: any number. */
  readonly size?: number | undefined;
}

/** What a body turned out to be. */
export interface CheckedBody {
  /** The newest version that it is; of a very short body others may fit too. */
  readonly version: number;
  /** Bytes handed in. */
  readonly size: number;
}

/** A body that is not what the origin sent: says which byte is wrong, or how many came. */
export class WrongBodyError extends Error {
  override readonly name = 'WrongBodyError';
}

/** Compares a body with what the origin must have sent, piece by piece, and tells its version. */
export class BodyCheck {
  readonly #options: BodyCheckOptions;
  #candidates: { readonly version: number; readonly bytes: OracleBytes }[];
  #size = 0;

  constructor(options: BodyCheckOptions) {
    this.#options = options;
    const { seed, key, versions, offset } = options;
    this.#candidates = [...new Set(versions)]
      .sort((a, b) => b - a)
      .map((version) => ({ version, bytes: new OracleBytes({ seed, key, version }, offset) }));
  }

  /** Bytes handed in so far, all of them right. */
  get size(): number {
    return this.#size;
  }

  /** Takes the next piece. Throws `WrongBodyError` at the first byte that fits no version, or is one too many. */
  write(chunk: Uint8Array): void {
    const { key, offset = 0, size } = this.#options;
    let agreed = 0;
    this.#candidates = this.#candidates.filter(({ bytes }) => {
      const expected = bytes.take(chunk.length);
      if (expected.equals(chunk)) return true;
      agreed = Math.max(agreed, firstDifference(expected, chunk));
      return false;
    });
    if (this.#candidates.length === 0) {
      const versions = this.#options.versions.join(', ');
      throw new WrongBodyError(
        `${key}: byte ${offset + this.#size + agreed} is not that of version ${versions}`,
      );
    }
    this.#size += chunk.length;
    if (size !== undefined && this.#size > size) {
      throw new WrongBodyError(`${key}: ${this.#size} bytes came, there are only ${size}`);
    }
  }

  /** The body is over. Throws `WrongBodyError` when bytes are missing. */
  end(): CheckedBody {
    const { key, size } = this.#options;
    if (size !== undefined && this.#size < size) {
      throw new WrongBodyError(`${key}: only ${this.#size} of ${size} bytes came`);
    }
    const [newest] = this.#candidates;
    if (newest === undefined) throw new WrongBodyError(`${key}: no version to compare with`);
    return { version: newest.version, size: this.#size };
  }

  /** A stream that checks what is written to it and errors with `WrongBodyError`; `end` is for the caller. */
  sink(): Writable {
    return new Writable({
      write: (chunk: Buffer, _, done) => {
        try {
          this.write(chunk);
          done();
        } catch (error) {
          done(error as Error);
        }
      },
    });
  }
}

/** Checks a body that is all at hand. */
export function checkBody(options: BodyCheckOptions, body: Uint8Array): CheckedBody {
  const check = new BodyCheck(options);
  check.write(body);
  return check.end();
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  let index = 0;
  while (index < a.length && a[index] === b[index]) index++;
  return index;
}
