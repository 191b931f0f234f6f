import type { Clock } from '../clock.ts';
import type { Digest } from './digest.ts';

/** Uses written at most this often, unless more came than are remembered. */
const INTERVAL_MS = 60_000;
/** Remembered of one backend before they are written. */
const MAX_REMEMBERED = 10_000;

/** Which blobs were read and are not yet on record as such. A read costs a place in a set, not a write. */
export class BlobUses {
  readonly #clock: Clock;
  readonly #write: (backend: string, digests: readonly Digest[], at: number) => Promise<unknown>;
  readonly #used = new Map<string, Set<Digest>>();
  /** Handed to the writer, and not yet there. */
  readonly #leaving = new Map<string, Set<Digest>>();
  #writtenAt: number;
  #flushing: Promise<void> | undefined;

  /** `write` puts them on record; what it rejects with is of no interest. */
  constructor(
    clock: Clock,
    write: (backend: string, digests: readonly Digest[], at: number) => Promise<unknown>,
  ) {
    this.#clock = clock;
    this.#write = write;
    this.#writtenAt = clock.monotonic();
  }

  /** Notes a read. */
  add(backend: string, digest: Digest): void {
    const digests = this.#used.get(backend) ?? new Set();
    if (digests.size === 0) this.#used.set(backend, digests);
    if (digests.size < MAX_REMEMBERED) digests.add(digest);
    if (this.#flushing !== undefined) return;
    const isTime = this.#clock.monotonic() - this.#writtenAt >= INTERVAL_MS;
    if (isTime || digests.size >= MAX_REMEMBERED) void this.flush();
  }

  /** Whether a read was noted that is not on record. */
  has(backend: string, digest: Digest): boolean {
    return (
      this.#used.get(backend)?.has(digest) === true ||
      this.#leaving.get(backend)?.has(digest) === true
    );
  }

  /** Writes what is noted. Never rejects: a use that is lost costs at most one refill. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  async #flush(): Promise<void> {
    const at = this.#clock.now();
    this.#writtenAt = this.#clock.monotonic();
    for (const [backend, digests] of this.#used) this.#leaving.set(backend, digests);
    this.#used.clear();
    for (const [backend, digests] of this.#leaving) {
      if (digests.size > 0) await this.#write(backend, [...digests], at).catch(() => undefined);
    }
    this.#leaving.clear();
  }
}
