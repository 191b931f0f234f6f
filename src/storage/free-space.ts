import { statfs } from 'node:fs/promises';
import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import { type Amount, bytesOf } from '../values.ts';

/** The file system is asked again after this long; what was admitted since is reckoned in between. */
const MAX_AGE_MS = 1000;
const DEFAULT_SHARE = 0.05;
const DEFAULT_BYTES = 1024 ** 3;

/** Refuses writes that would leave less free space than is to be kept on the file system of a folder. */
export class FreeSpace {
  readonly #folder: string;
  readonly #keep: Amount | undefined;
  readonly #clock: Clock;
  #askedAt = Number.NEGATIVE_INFINITY;
  #free = 0;
  #kept = 0;

  /** `keep` absent: the larger of 5 % and 1 GiB; 0 bytes: everything is admitted. */
  constructor(folder: string, keep: Amount | undefined, clock: Clock) {
    this.#folder = folder;
    this.#keep = keep;
    this.#clock = clock;
  }

  /** Throws `unavailable` when `size` bytes more would be too much. */
  async admit(size: number): Promise<void> {
    if (this.#keep?.kind === 'bytes' && this.#keep.bytes === 0) return;
    const isOld = this.#clock.monotonic() - this.#askedAt >= MAX_AGE_MS;
    if (isOld || this.#free - size < this.#kept) await this.#ask();
    if (this.#free - size < this.#kept) {
      const message = `${this.#folder}: ${this.#free} bytes are free and ${this.#kept} are to be kept (keepFree)`;
      throw new ProxyError('unavailable', 'free-space.admit', message);
    }
    this.#free -= size;
  }

  /** Bytes by which `size` bytes more would be too much, asked of the file system now; 0: they would not. */
  async lack(size: number): Promise<number> {
    if (this.#keep?.kind === 'bytes' && this.#keep.bytes === 0) return 0;
    await this.#ask();
    return Math.max(0, this.#kept + size - this.#free);
  }

  async #ask(): Promise<void> {
    const { bavail, blocks, bsize } = await statfs(this.#folder);
    const total = blocks * bsize;
    this.#free = bavail * bsize;
    this.#kept =
      this.#keep === undefined
        ? Math.max(DEFAULT_SHARE * total, DEFAULT_BYTES)
        : bytesOf(this.#keep, total);
    this.#askedAt = this.#clock.monotonic();
  }
}
