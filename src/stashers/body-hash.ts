import { createHash, type Hash, hash } from 'node:crypto';
import { BLOCK_SIZE } from '../body.ts';
import type { Sealed } from '../storage/backend.ts';
import { DIGEST_BYTES, digestFromBytes, parseDigest } from '../storage/digest.ts';

/** SHA-256 of a body and of each of its blocks, in one pass, whatever pieces it comes in. */
export class BodyHash {
  readonly #blocks: Buffer[] = [];
  #whole: Hash | undefined;
  #block: Hash | undefined;
  #only: Buffer | undefined;
  #size = 0;
  readonly #known: Buffer | undefined;

  /** `known`: digests of all blocks, where somebody compared each block with its own already, which spares hashing them again. */
  constructor(known?: Buffer | undefined) {
    this.#known = known;
  }

  // The digest of the one block is that of the body.
  get #isKnown(): boolean {
    return this.#known?.length === DIGEST_BYTES;
  }

  /** Takes the next bytes. */
  update(bytes: Buffer): void {
    if (this.#isKnown) {
      this.#size += bytes.length;
      return;
    }
    if (this.#size === 0 && bytes.length <= BLOCK_SIZE) {
      // Most bodies are one piece: hashed in one call at the end, which costs a third of a Hash object.
      this.#only = bytes;
      this.#size = bytes.length;
      return;
    }
    if (this.#only) {
      const first = this.#only;
      this.#only = undefined;
      this.#size = 0;
      this.#feed(first);
    }
    this.#feed(bytes);
  }

  /** The digests of everything taken; nothing may be added afterwards. */
  seal(): Sealed {
    if (this.#known && this.#isKnown)
      return { digest: digestFromBytes(this.#known), size: this.#size, blocks: this.#known };
    if (this.#whole === undefined) {
      const digest = hash('sha256', this.#only ?? '', 'buffer');
      const blocks = this.#size === 0 ? Buffer.alloc(0) : digest;
      return { digest: parseDigest(digest.toString('hex')), size: this.#size, blocks };
    }
    const digest = this.#whole.digest();
    if (this.#known) {
      const blocks = this.#known;
      return { digest: parseDigest(digest.toString('hex')), size: this.#size, blocks };
    }
    if (this.#blocks.length === 0) this.#blocks.push(digest);
    else if (this.#block) this.#blocks.push(this.#block.digest());
    return {
      digest: parseDigest(digest.toString('hex')),
      size: this.#size,
      blocks: Buffer.concat(this.#blocks),
    };
  }

  #feed(bytes: Buffer): void {
    this.#whole ??= createHash('sha256');
    if (this.#known) {
      this.#whole.update(bytes);
      this.#size += bytes.length;
      return;
    }
    let at = 0;
    while (at < bytes.length) {
      const room = BLOCK_SIZE - (this.#size % BLOCK_SIZE);
      const part = bytes.subarray(at, at + room);
      if (this.#size >= BLOCK_SIZE) this.#block ??= createHash('sha256');
      this.#whole.update(part);
      this.#block?.update(part);
      this.#size += part.length;
      at += part.length;
      if (part.length === room) this.#endBlock();
    }
  }

  // The first block is the whole so far: a copy of its state spares hashing it twice.
  #endBlock(): void {
    if (this.#block) this.#blocks.push(this.#block.digest());
    else this.#blocks.push((this.#whole as Hash).copy().digest());
    this.#block = undefined;
  }
}
