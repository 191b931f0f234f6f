import { createHash, hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { BLOCK_SIZE } from '../body.ts';
import { ProxyError } from '../errors.ts';

/** SHA-256 of a whole body, 64 lower-case hex characters. Only `parseDigest` and the hashing helpers make one. */
export type Digest = string & { readonly __digest: unique symbol };

/** Bytes of one SHA-256 in a list of block digests. */
export const DIGEST_BYTES: number = 32;

const HEX = /^[0-9a-f]{64}$/;

/** The one door from text to `Digest`. Throws `invalid` for anything else (`..`, upper case, other lengths). */
export function parseDigest(text: string): Digest {
  if (!HEX.test(text)) {
    const shown = JSON.stringify(text.slice(0, 80));
    throw new ProxyError('invalid', 'digest.parse', `not a SHA-256 in hex: ${shown}`);
  }
  return text as Digest;
}

/** Whether `parseDigest` would take it. */
export function isDigest(text: string): text is Digest {
  return HEX.test(text);
}

/** Digest of bytes that are all at hand. */
export function digestOf(bytes: Uint8Array): Digest {
  return createHash('sha256').update(bytes).digest('hex') as Digest;
}

/** The 32 raw bytes of a digest. */
export function digestBytes(digest: Digest): Buffer {
  return Buffer.from(digest, 'hex');
}

/** The digest whose 32 raw bytes these are. */
export function digestFromBytes(bytes: Uint8Array): Digest {
  return parseDigest(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex'));
}

/** How many blocks a body of `size` bytes has; 0 for an empty one. */
export function blockCount(size: number): number {
  return Math.ceil(size / BLOCK_SIZE);
}

/** Block digests that follow from the body's own: a body of one block has just its digest. Absent: they have to be kept. */
export function impliedBlocks(digest: Digest, size: number): Buffer | undefined {
  if (size === 0) return Buffer.alloc(0);
  return size <= BLOCK_SIZE ? digestBytes(digest) : undefined;
}

/** Whether a block hashes to entry `index` of a list of block digests. */
export function isBlockIntact(block: Uint8Array, blocks: Buffer, index: number): boolean {
  const found = hash('sha256', block, 'buffer');
  return (
    blocks.compare(found, 0, DIGEST_BYTES, index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES) === 0
  );
}

/** Digest, size and block digests of a stream of bytes, whatever the size of its chunks. */
export async function blocksOfStream(
  chunks: AsyncIterable<Buffer>,
): Promise<{ readonly digest: Digest; readonly size: number; readonly blocks: Buffer }> {
  const whole = createHash('sha256');
  const blocks: Buffer[] = [];
  let block = createHash('sha256');
  let size = 0;
  for await (const chunk of chunks) {
    whole.update(chunk);
    for (let from = 0; from < chunk.length; ) {
      const to = Math.min(chunk.length, from + BLOCK_SIZE - (size % BLOCK_SIZE));
      block.update(chunk.subarray(from, to));
      size += to - from;
      from = to;
      if (size % BLOCK_SIZE === 0) {
        blocks.push(block.digest());
        block = createHash('sha256');
      }
    }
  }
  if (size % BLOCK_SIZE > 0) blocks.push(block.digest());
  return { digest: whole.digest('hex') as Digest, size, blocks: Buffer.concat(blocks) };
}

/** The same of a file. Throws what opening or reading it throws. */
export async function blocksOfFile(
  path: string,
): Promise<{ readonly digest: Digest; readonly size: number; readonly blocks: Buffer }> {
  return await blocksOfStream(createReadStream(path, { highWaterMark: BLOCK_SIZE }));
}
