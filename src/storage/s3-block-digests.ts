import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import type { CallOptions } from '../body.ts';
import { kindOf } from '../errors.ts';
import type { Sealed, Stat } from './backend.ts';
import {
  blockCount,
  blocksOfStream,
  DIGEST_BYTES,
  type Digest,
  digestBytes,
  impliedBlocks,
} from './digest.ts';
import type { S3Keys } from './s3-keys.ts';
import type { S3Objects } from './s3-objects.ts';

/** Block digests of bodies, kept in an object beside each body of more than one block, so that any node can check a range. */
export class S3BlockDigests {
  readonly #objects: S3Objects;
  readonly #keys: S3Keys;

  constructor(objects: S3Objects, keys: S3Keys) {
    this.#objects = objects;
    this.#keys = keys;
  }

  /** Written before the body itself, so that whoever sees the body finds them. */
  async put({ digest, size, blocks }: Sealed, options: CallOptions): Promise<void> {
    if (impliedBlocks(digest, size) !== undefined) return;
    const bytes = Buffer.concat([blocks, bindingOf(digest, blocks)]);
    await this.#objects.put(this.#keys.blocks(digest), bytes, false, options);
  }

  /** Absent: there are none, or they do not belong to this body. */
  async get({ digest, size }: Stat, options: CallOptions): Promise<Buffer | undefined> {
    const implied = impliedBlocks(digest, size);
    if (implied !== undefined) return implied;
    try {
      const key = this.#keys.blocks(digest);
      const kept = await buffer(await this.#objects.get(key, undefined, undefined, options));
      const blocks = kept.subarray(0, blockCount(size) * DIGEST_BYTES);
      return kept.equals(Buffer.concat([blocks, bindingOf(digest, blocks)])) ? blocks : undefined;
    } catch (error) {
      if (kindOf(error) === 'aborted' || kindOf(error) === 'unavailable') throw error;
      return undefined;
    }
  }

  /** Reads a body once to its end, judges it by its digest, and keeps what its blocks are. Absent: it is not that body. */
  async learn(digest: Digest, options: CallOptions): Promise<Buffer | undefined> {
    const body = await this.#objects.get(this.#keys.body(digest), undefined, undefined, options);
    const found = await blocksOfStream(body as AsyncIterable<Buffer>);
    if (found.digest !== digest) return undefined;
    // It only saves the next node the same reading.
    await this.put(found, options).catch(() => undefined);
    return found.blocks;
  }
}

/** Ties block digests to their body: a list that was changed or is another body's is not believed. */
function bindingOf(digest: Digest, blocks: Buffer): Buffer {
  return createHash('sha256').update(digestBytes(digest)).update(blocks).digest();
}
