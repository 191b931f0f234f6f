import { BLOCK_SIZE } from '../body.ts';

/** Blocks that wait for their next use, at most: 16 MiB. */
const MAX_FREE = 16;

const free: Buffer[] = [];
const taken = new WeakSet<Buffer>();
const lent = new WeakSet<Buffer>();

/** A buffer of `length` bytes with any content. Whole blocks are used again where possible: fresh memory costs more than reading into it. */
export function takeBlock(length: number): Buffer {
  if (length !== BLOCK_SIZE) return Buffer.allocUnsafeSlow(length);
  const block = free.pop() ?? Buffer.allocUnsafeSlow(length);
  taken.add(block);
  return block;
}

/** Notes that a block goes out in a stream and belongs to whoever reads it. Does nothing for buffers that `takeBlock` did not give. */
export function lendBlock(block: Buffer): void {
  if (taken.delete(block)) lent.add(block);
}

/**
 * For the one reader of a body: says that nobody needs a chunk of it any longer, so that its memory is used again.
 * Never needed; does nothing for chunks from elsewhere and for those that were given back before.
 */
export function recycle(chunk: Buffer): void {
  if (lent.delete(chunk) && free.length < MAX_FREE) free.push(chunk);
}
