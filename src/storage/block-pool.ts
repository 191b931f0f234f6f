import { BLOCK_SIZE } from '../body.ts';

/** Sizes that are used again: blocks of stored bodies, and what readers behind a growing one read at a time. */
export const SPOOL_READ: number = 256 * 1024;
/** Bytes of each size that wait for their next use, at most. */
const MAX_FREE = 8 * BLOCK_SIZE;

const free = new Map<number, Buffer[]>([
  [BLOCK_SIZE, []],
  [SPOOL_READ, []],
]);
const taken = new WeakSet<Buffer>();
const lent = new WeakSet<Buffer>();
const parts = new WeakMap<Buffer, () => void>();

/** A buffer of `length` bytes with any content. Whole blocks are used again where possible: fresh memory costs more than reading into it. */
export function takeBlock(length: number): Buffer {
  const same = free.get(length);
  if (same === undefined) return Buffer.allocUnsafeSlow(length);
  const block = same.pop() ?? Buffer.allocUnsafeSlow(length);
  taken.add(block);
  return block;
}

/** Notes that a block goes out in a stream and belongs to whoever reads it. Does nothing for buffers that `takeBlock` did not give. */
export function lendBlock(block: Buffer): void {
  if (taken.delete(block)) lent.add(block);
}

/** Notes that a part of what several may read goes to one of them, and what is to be called when that one is done with it. */
export function lendPart(part: Buffer, done: () => void): void {
  parts.set(part, done);
}

/**
 * For the one reader of a body: says that nobody needs a chunk of it any longer, so that its memory is used again.
 * Never needed; does nothing for chunks from elsewhere and for those that were given back before.
 */
export function recycle(chunk: Buffer): void {
  const same = free.get(chunk.length);
  const done = parts.get(chunk);
  if (done !== undefined) {
    parts.delete(chunk);
    done();
    return;
  }
  if (lent.delete(chunk) && same && same.length * chunk.length < MAX_FREE) same.push(chunk);
}
