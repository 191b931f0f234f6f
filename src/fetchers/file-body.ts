import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { ProxyError } from '../errors.ts';

const CHUNK_BYTES = 128 * 1024;

/** The first `size` bytes of an open file, which it closes. Errors with `upstream` when the file has become shorter. */
export class FileBody extends Readable {
  readonly #file: FileHandle;
  readonly #size: number;
  #at = 0;

  constructor(file: FileHandle, size: number) {
    super({ highWaterMark: CHUNK_BYTES });
    this.#file = file;
    this.#size = size;
  }

  override _read(): void {
    const length = Math.min(CHUNK_BYTES, this.#size - this.#at);
    if (length === 0) this.push(null);
    else
      this.#readOn(length).then(
        (chunk) => this.push(chunk),
        (error: unknown) => this.destroy(error as Error),
      );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#file.close().then(
      () => callback(error),
      (closing: unknown) => callback(error ?? (closing as Error)),
    );
  }

  async #readOn(length: number): Promise<Buffer> {
    try {
      const { buffer, bytesRead } = await this.#file.read(
        Buffer.allocUnsafe(length),
        0,
        length,
        this.#at,
      );
      if (bytesRead > 0) {
        this.#at += bytesRead;
        return buffer.subarray(0, bytesRead);
      }
    } catch (cause) {
      throw new ProxyError('upstream', 'file-body.read', 'the file cannot be read', { cause });
    }
    throw new ProxyError('upstream', 'file-body.read', 'the file became shorter while it was read');
  }
}
