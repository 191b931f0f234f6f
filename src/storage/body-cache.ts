import { LRUCache } from 'lru-cache';
import type { ServiceKey } from '../component.ts';
import type { Digest } from './digest.ts';
import { SMALL_BODY } from './small-body.ts';

/** The node's memory of bodies, for components. */
export const BODY_CACHE: ServiceKey<BodyCache> = { description: 'bodies in memory' };

/** Largest body kept in memory: above it the check of each block costs little beside sending it. Bytes. */
export const MAX_CACHED_BODY: number = 8 * 1024 * 1024;
/** A larger share of the whole would sweep out too many others. */
const MAX_SHARE = 1 / 32;
/** Bodies remembered as asked for once. */
const MAX_ASKED = 10_000;
/** Default of `memory.bodies`. */
export const DEFAULT_CACHE_BYTES: number = 256 * 1024 * 1024;
/** What an entry costs beside its bytes: key, map slots, the Buffer object. */
const ENTRY_BYTES = 256;

interface Held {
  readonly body: Buffer;
  /** Whether it was asked for since somebody last looked. */
  isAsked: boolean;
}

/** Verified bodies by digest, all in memory; the least recently used go first. Synchronous. */
export class BodyCache {
  readonly #bodies: LRUCache<Digest, Held> | undefined;
  readonly #asked = new LRUCache<Digest, true>({ max: MAX_ASKED });
  readonly #loading = new Map<Digest, Promise<Buffer | undefined>>();
  readonly #maxBody: number;
  readonly #leaveListeners: ((digest: Digest) => void)[] = [];

  /** `maxBytes` counts bodies and what keeping them costs; 0 keeps nothing. */
  constructor(maxBytes: number = DEFAULT_CACHE_BYTES) {
    this.#maxBody = Math.min(MAX_CACHED_BODY, Math.max(SMALL_BODY, maxBytes * MAX_SHARE));
    if (maxBytes > 0) {
      const sizeCalculation = ({ body }: Held): number => body.length + ENTRY_BYTES;
      const dispose = ({ isAsked }: Held, digest: Digest, reason: string): void => {
        if (!isAsked || reason !== 'evict') return;
        for (const tell of this.#leaveListeners) tell(digest);
      };
      this.#bodies = new LRUCache({ maxSize: maxBytes, sizeCalculation, dispose });
    }
  }

  /** The whole body. Absent: not in memory. */
  get(digest: Digest): Buffer | undefined {
    const held = this.#bodies?.get(digest);
    if (held === undefined) return undefined;
    held.isAsked = true;
    return held.body;
  }

  /** Whether a body was got since `unmark`; false where it is not in memory. */
  isAsked(digest: Digest): boolean {
    return this.#bodies?.peek(digest)?.isAsked === true;
  }

  /** Forgets that a body was got. */
  unmark(digest: Digest): void {
    const held = this.#bodies?.peek(digest);
    if (held !== undefined) held.isAsked = false;
  }

  /** Called with what was got since `unmark` and makes room for others. */
  onLeave(listener: (digest: Digest) => void): void {
    this.#leaveListeners.push(listener);
  }

  /**
   * Reads a body into memory when it is asked for the second time, so that a pass over much that is never asked for again
   * sweeps nothing out; who asks meanwhile shares the read. Absent: asked for the first time, too large, or `read` gave nothing.
   */
  async load(
    digest: Digest,
    size: number,
    read: () => Promise<Buffer | undefined>,
  ): Promise<Buffer | undefined> {
    if (this.#bodies === undefined || size > this.#maxBody) return undefined;
    if (!this.#asked.has(digest)) {
      this.#asked.set(digest, true);
      return undefined;
    }
    const running = this.#loading.get(digest);
    if (running) return await running;
    const loading = read().finally(() => this.#loading.delete(digest));
    this.#loading.set(digest, loading);
    const body = await loading;
    if (body) this.set(digest, body);
    return body;
  }

  /** Keeps a body whose digest was checked, unless it is above 8 MiB or a 32nd of the whole memory. */
  set(digest: Digest, body: Buffer): void {
    if (this.#bodies === undefined || body.length > this.#maxBody || this.#bodies.has(digest))
      return;
    // A view would keep the whole buffer behind it alive.
    const own = body.buffer.byteLength === body.length ? body : copyOf(body);
    this.#bodies.set(digest, { body: own, isAsked: false });
  }

  delete(digest: Digest): void {
    this.#bodies?.delete(digest);
  }

  /** Bytes used now. */
  get size(): number {
    return this.#bodies?.calculatedSize ?? 0;
  }
}

function copyOf(body: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(body.length);
  body.copy(copy);
  return copy;
}
