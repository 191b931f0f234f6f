import { ProxyError } from '../errors.ts';
import { lendBlock, takeBlock } from '../storage/block-pool.ts';
import type { Digest } from '../storage/digest.ts';
import type { GrowingDigest } from './digest-thread.ts';
import type { SpoolFile, SpoolFolder } from './spool-folder.ts';

/** The file that a body grows in, made with its first bytes. */
export class GrowingFile {
  readonly #folder: SpoolFolder;
  readonly #isHashed: boolean;
  #file: SpoolFile | undefined;
  #digest: GrowingDigest | undefined;
  #size = 0;
  #reserved = 0;

  /** `isHashed`: a thread hashes it behind. */
  constructor(folder: SpoolFolder, isHashed: boolean) {
    this.#folder = folder;
    this.#isHashed = isHashed;
  }

  /** Bytes written. */
  get size(): number {
    return this.#size;
  }

  /** Absent: not made yet, or closed. */
  get path(): string | undefined {
    return this.#file?.path;
  }

  /** Makes it. Throws the file system's error. */
  async create(): Promise<void> {
    if (this.#file !== undefined) return;
    this.#file = await this.#folder.create();
    if (this.#isHashed) this.#digest = this.#folder.digests.begin(this.#file.handle.fd);
  }

  /** Writes more, `size` bytes in all. Throws `unavailable` where there is no room, and the file system's error. */
  async append(pieces: readonly Buffer[], size: number): Promise<void> {
    const file = this.#made();
    if (!this.#folder.reserve(size))
      throw new ProxyError('unavailable', 'spool.write', 'the spool is full');
    this.#reserved += size;
    await writeAll(file, pieces, this.#size, size);
    this.#size += size;
    this.#digest?.grown(this.#size);
  }

  /** At most `length` bytes at a position. Throws `integrity` where they were written and are not there. */
  async read(position: number, length: number): Promise<Buffer> {
    const buffer = takeBlock(Math.min(length, this.#size - position));
    const { bytesRead } = await this.#made().handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0)
      throw new ProxyError(
        'integrity',
        'spool.read',
        'the spool file is shorter than what was written',
      );
    // Whoever sends it last may hand it back, so that reading behind costs no fresh memory.
    lendBlock(buffer);
    return bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead);
  }

  /** SHA-256 of all that was written. Rejects where nobody hashed it. */
  async digest(): Promise<Digest> {
    if (this.#digest === undefined)
      throw new ProxyError('unavailable', 'spool.digest', 'the body has no file to be hashed');
    this.#digest.end(this.#size);
    return await this.#digest.done;
  }

  /** Nothing will be written or read any more; it is removed unless `isKept`. */
  close(isKept: boolean): void {
    const file = this.#file;
    this.#file = undefined;
    if (this.#reserved > 0) this.#folder.release(this.#reserved);
    this.#reserved = 0;
    if (file === undefined) return;
    void closeBehind(file, this.#digest);
    if (!isKept) void this.#folder.remove(file.path);
  }

  #made(): SpoolFile {
    if (this.#file !== undefined) return this.#file;
    throw new ProxyError('internal', 'spool.file', 'bytes are neither in memory nor on disk');
  }
}

// A descriptor that the thread still reads must not become another file's.
async function closeBehind(
  { handle }: SpoolFile,
  digest: GrowingDigest | undefined,
): Promise<void> {
  digest?.abort();
  await digest?.done.catch(() => undefined);
  await handle.close().catch(() => undefined);
}

async function writeAll(
  { handle }: SpoolFile,
  pieces: readonly Buffer[],
  position: number,
  size: number,
): Promise<void> {
  let { bytesWritten } = await handle.writev(pieces, position);
  if (bytesWritten === size) return;
  const rest = Buffer.concat(pieces);
  while (bytesWritten < size) {
    const more = await handle.write(
      rest,
      bytesWritten,
      size - bytesWritten,
      position + bytesWritten,
    );
    if (more.bytesWritten === 0)
      throw new ProxyError('unavailable', 'spool.write', 'the disk takes no more bytes');
    bytesWritten += more.bytesWritten;
  }
}
