import { mkdirSync, rmdirSync } from 'node:fs';
import { type FileHandle, lstat, open, readdir, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../errors.ts';
import { isProcessAlive, processIdentity } from '../process-identity.ts';
import { DigestThread } from './digest-thread.ts';

/** A spool file that is open for reading and writing. */
export interface SpoolFile {
  readonly path: string;
  readonly handle: FileHandle;
}

/**
 * Where bodies grow that are too large for memory: `<root>/<process>/<n>`, one folder a process, so that the leftovers
 * of a dead one can be told from a live one's files. Counts what all fills of this process hold there.
 */
export class SpoolFolder {
  /** Hashes files behind those who write them. */
  readonly digests: DigestThread = new DigestThread();
  readonly #root: string;
  readonly #own: string;
  readonly #maxBytes: number;
  #next = 0;
  #used = 0;
  #made = false;

  /** `maxBytes` bounds the files of this process together. */
  constructor(root: string, maxBytes: number) {
    this.#root = root;
    this.#own = join(root, processIdentity());
    this.#maxBytes = maxBytes;
  }

  /** Bytes held now. */
  get used(): number {
    return this.#used;
  }

  /** Takes room; false where the bound would be passed. */
  reserve(bytes: number): boolean {
    if (this.#used + bytes > this.#maxBytes) return false;
    this.#used += bytes;
    return true;
  }

  /** Gives room back. */
  release(bytes: number): void {
    this.#used -= bytes;
  }

  /** A new empty file. Throws the file system's error. */
  async create(): Promise<SpoolFile> {
    if (!this.#made) {
      mkdirSync(this.#own, { recursive: true, mode: 0o750 });
      this.#made = true;
    }
    const path = join(this.#own, String(this.#next++));
    try {
      return { path, handle: await open(path, 'wx+', 0o640) };
    } catch (error) {
      // Somebody tidied up behind our back: the folder is made again for the next fill.
      if (codeOf(error) === 'ENOENT') this.#made = false;
      throw error;
    }
  }

  /** Removes a file that was not handed over; one that is gone already is fine. */
  async remove(path: string): Promise<void> {
    await unlink(path).catch(() => undefined);
  }

  /** Removes what dead processes left. Gives the number of files. */
  async recover(): Promise<number> {
    let removed = 0;
    for (const folder of await this.#dead()) {
      removed += (await readdir(join(this.#root, folder)).catch(() => [])).length;
      await rm(join(this.#root, folder), { recursive: true, force: true });
    }
    return removed;
  }

  /** The files that `recover` would remove: their path below the spool and their bytes. */
  async *leftovers(): AsyncGenerator<{ readonly name: string; readonly size: number }> {
    for (const folder of await this.#dead()) {
      for (const file of await readdir(join(this.#root, folder)).catch(() => [])) {
        const stats = await lstat(join(this.#root, folder, file)).catch(() => undefined);
        if (stats) yield { name: join(folder, file), size: stats.size };
      }
    }
  }

  async #dead(): Promise<readonly string[]> {
    const folders = await readdir(this.#root).catch(() => []);
    return folders.filter((folder) => !isProcessAlive(folder));
  }

  /** Removes this process's folder if it is empty, and ends the thread that hashes. */
  close(): void {
    void this.digests[Symbol.asyncDispose]();
    try {
      rmdirSync(this.#own);
    } catch {
      // Never made, or a last reader still holds a file: the next start removes it.
    }
  }
}
