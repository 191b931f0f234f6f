import { lstat, lutimes, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { codeOf } from '../errors.ts';
import type { Stat } from './backend.ts';
import { type Digest, isDigest } from './digest.ts';

/** Bytes that damaged bodies may hold together; the oldest go first. */
const MAX_BYTES = 1024 ** 3;

/**
 * Where a disk puts what it found damaged, under the digest that it should have had and nothing else: looked at by people, removed
 * after a time, never served. Errors of the file system pass through as they are.
 */
export class QuarantineFolder {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #maxBytes: number;

  /** `folder` has to be on the file system of the bodies. `maxBytes` absent: 1 GiB. */
  constructor(folder: string, clock: Clock, maxBytes: number = MAX_BYTES) {
    this.#folder = folder;
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  /** Moves what lies at a path here, whatever it is: a file, a folder, a link. An older one of that digest goes. */
  async take(digest: Digest, from: string): Promise<void> {
    const to = await this.#place(digest);
    await rename(from, to);
    await this.#note(to);
  }

  /** Writes bytes that lay in no file of their own. An older one of that digest goes. */
  async write(digest: Digest, bytes: Uint8Array): Promise<void> {
    const to = await this.#place(digest);
    await writeFile(to, bytes, { mode: 0o640 });
    await this.#note(to);
  }

  /** What lies here, in order of digest; `modifiedAt` is when it was put here. */
  async *list(): AsyncGenerator<Stat> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    });
    for (const digest of names.sort()) {
      if (!isDigest(digest)) continue;
      const stats = await lstat(this.#pathOf(digest)).catch(() => undefined);
      if (stats) yield { digest, size: stats.size, modifiedAt: Math.round(stats.mtimeMs) };
    }
  }

  /** False: it was not there. */
  async remove(digest: Digest): Promise<boolean> {
    try {
      await rm(this.#pathOf(digest), { recursive: true });
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  #pathOf(digest: Digest): string {
    return join(this.#folder, digest);
  }

  async #place(digest: Digest): Promise<string> {
    await mkdir(this.#folder, { recursive: true, mode: 0o750 });
    await this.remove(digest);
    return this.#pathOf(digest);
  }

  // A rename keeps the time of the file, which says nothing about when it was found damaged.
  async #note(path: string): Promise<void> {
    const now = this.#clock.now() / 1000;
    await lutimes(path, now, now);
    await this.#trim();
  }

  async #trim(): Promise<void> {
    const all = await Array.fromAsync(this.list());
    let bytes = all.reduce((sum, { size }) => sum + size, 0);
    for (const { digest, size } of all.sort((a, b) => a.modifiedAt - b.modifiedAt)) {
      if (bytes <= this.#maxBytes) return;
      await this.remove(digest);
      bytes -= size;
    }
  }
}
