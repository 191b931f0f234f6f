import { BLOCK_SIZE } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { ScrubOptions, Stat } from './backend.ts';
import { lendBlock, recycle } from './block-pool.ts';
import { blocksOfStream } from './digest.ts';
import { type BlockSource, checkSignal } from './verified-body.ts';

/**
 * Reads a body from its source to its end against its digest, then closes the source. Gives what its blocks hash to. Throws
 * `integrity` where it is another body, `aborted`, and what the source throws.
 */
export async function scrubBody(
  { digest, size }: Stat,
  source: BlockSource,
  options: ScrubOptions = {},
): Promise<Buffer> {
  try {
    const found = await blocksOfStream(blocksOf(size, source, options));
    if (found.digest === digest && found.size === size) return found.blocks;
    throw new ProxyError(
      'integrity',
      'scrub-body.read',
      `${digest}: what is stored hashes to ${found.digest}`,
    );
  } finally {
    await source.close();
  }
}

async function* blocksOf(
  size: number,
  source: BlockSource,
  { pace, signal }: ScrubOptions,
): AsyncGenerator<Buffer> {
  for (let start = 0; start < size; start += BLOCK_SIZE) {
    const length = Math.min(BLOCK_SIZE, size - start);
    await pace?.(length);
    checkSignal(signal, 'scrub-body.read');
    const block = await source.read(start / BLOCK_SIZE, length);
    if (block.length !== length)
      throw new ProxyError('integrity', 'scrub-body.read', 'it ends too early');
    yield block;
    lendBlock(block);
    recycle(block);
  }
}
