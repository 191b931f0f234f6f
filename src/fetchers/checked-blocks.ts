import { createHash, type Hash } from 'node:crypto';
import { pipeline, type Readable, Transform, type TransformCallback } from 'node:stream';
import { BLOCK_SIZE, type Body } from '../body.ts';
import { ProxyError } from '../errors.ts';

/** Bytes of one SHA-256 in a list of block digests. */
export const DIGEST_BYTES = 32;

/** Kept on each side beside the block that is being compared. */
const BUFFER_BYTES = 256 * 1024;

/** What a body on its way is compared with. */
export interface PromisedBlocks {
  /** SHA-256 of each block of `BLOCK_SIZE`, in order; blocks behind the last of them are not checked. */
  readonly blocks: Buffer;
  /** Names the sender in the error: `peer 10.0.0.2:8180`. */
  readonly from: string;
  /** Called once, before the error, when a block differs. */
  differs(block: number): void;
}

/**
 * The same body, of which a block is handed on only when it is whole and has its digest. Resolves once the first block is
 * found to be right, or the body is at its end. Rejects with `integrity` when it differs, else with what the body fails with; a later
 * block that differs makes the body given fail with `integrity`.
 */
export async function checkedBlocks(body: Readable, promised: PromisedBlocks): Promise<Body> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const checked = new BlockCheck(promised, resolve);
  pipeline(body, checked, (error) => {
    if (error) reject(error);
    else resolve();
  });
  await promise;
  return checked;
}

class BlockCheck extends Transform {
  readonly #promised: PromisedBlocks;
  readonly #count: number;
  readonly #first: () => void;
  #index = 0;
  #held: Buffer[] = [];
  #size = 0;
  #hash: Hash = createHash('sha256');

  constructor(promised: PromisedBlocks, first: () => void) {
    super({ readableHighWaterMark: BUFFER_BYTES, writableHighWaterMark: BUFFER_BYTES });
    this.#promised = promised;
    this.#count = promised.blocks.length / DIGEST_BYTES;
    this.#first = first;
    // A failure may come before the caller could listen; whoever reads finds it later all the same.
    this.on('error', () => {});
  }

  override _transform(piece: Buffer, _encoding: string, callback: TransformCallback): void {
    let rest = piece;
    while (this.#index < this.#count && rest.length > 0) {
      const part = rest.subarray(0, BLOCK_SIZE - this.#size);
      rest = rest.subarray(part.length);
      this.#hash.update(part);
      this.#held.push(part);
      this.#size += part.length;
      if (this.#size < BLOCK_SIZE) continue;
      const error = this.#endBlock();
      if (error !== undefined) {
        callback(error);
        return;
      }
    }
    if (rest.length > 0) this.push(rest);
    callback();
  }

  override _flush(callback: TransformCallback): void {
    callback(this.#size > 0 ? this.#endBlock() : undefined);
  }

  #endBlock(): ProxyError | undefined {
    const { blocks, from } = this.#promised;
    const at = this.#index * DIGEST_BYTES;
    if (blocks.compare(this.#hash.digest(), 0, DIGEST_BYTES, at, at + DIGEST_BYTES) !== 0) {
      this.#promised.differs(this.#index);
      return new ProxyError(
        'integrity',
        'checked-blocks',
        `${from}: block ${this.#index} of the body does not have its digest`,
      );
    }
    for (const piece of this.#held) this.push(piece);
    this.#held = [];
    this.#size = 0;
    this.#hash = createHash('sha256');
    this.#index += 1;
    this.#first();
    return undefined;
  }
}
