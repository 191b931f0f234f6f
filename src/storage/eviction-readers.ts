import type { Digest } from './digest.ts';
import type { BlockSource } from './verified-body.ts';

/** Which bodies are being read, or needed in another way, so that eviction leaves them alone. */
export class EvictionReaders {
  readonly #counts = new Map<Digest, number>();
  readonly #needs: ((digest: Digest) => boolean)[] = [];

  /** Whether somebody reads it now, or needs it. */
  isRead(digest: Digest): boolean {
    return this.#counts.has(digest) || this.#needs.some((isNeeded) => isNeeded(digest));
  }

  /** As `Evicting.spare`. */
  spare(isNeeded: (digest: Digest) => boolean): void {
    this.#needs.push(isNeeded);
  }

  /** Counts a reader until the function it gives is called; calling that again does nothing. */
  hold(digest: Digest): () => void {
    this.#counts.set(digest, (this.#counts.get(digest) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const left = (this.#counts.get(digest) ?? 1) - 1;
      if (left > 0) this.#counts.set(digest, left);
      else this.#counts.delete(digest);
    };
  }

  /** Opens a source that counts as a reader from now until it is closed. Throws what `open` throws. */
  async watch(digest: Digest, open: () => Promise<BlockSource>): Promise<BlockSource> {
    const release = this.hold(digest);
    try {
      const source = await open();
      return {
        read: async (index, length) => await source.read(index, length),
        close: async () => {
          release();
          await source.close();
        },
      };
    } catch (error) {
      release();
      throw error;
    }
  }
}
