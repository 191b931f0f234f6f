import type { FileHandle } from 'node:fs/promises';
import { BLOCK_SIZE } from '../body.ts';
import { codeOf, ProxyError } from '../errors.ts';
import { takeBlock } from './block-pool.ts';
import type { BlockSource } from './verified-body.ts';

/** Blocks of an open file; closing waits for a read under way. */
export class FileSource implements BlockSource {
  readonly #file: FileHandle;
  #closed: Promise<void> | undefined;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async read(index: number, length: number): Promise<Buffer> {
    const block = takeBlock(length);
    let filled = 0;
    while (filled < length) {
      const position = index * BLOCK_SIZE + filled;
      const { bytesRead } = await this.#read(block, filled, length - filled, position);
      if (bytesRead === 0)
        throw new ProxyError('integrity', 'file-source.read', 'the file ends too early');
      filled += bytesRead;
    }
    return block;
  }

  close(): Promise<void> {
    this.#closed ??= this.#file.close();
    return this.#closed;
  }

  async #read(
    block: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }> {
    try {
      return await this.#file.read(block, offset, length, position);
    } catch (error) {
      // A sector that cannot be read is as good as damaged: a refill writes it anew.
      throw new ProxyError('integrity', 'file-source.read', `cannot be read: ${codeOf(error)}`, {
        cause: error,
      });
    }
  }
}
