import { LRUCache } from 'lru-cache';
import type { ServiceKey } from '../component.ts';
import type { Digest } from './digest.ts';

/** The node's memory of bodies, for components. */
export const BODY_CACHE: ServiceKey<BodyCache> = { description: 'bodies in memory' };

/** Largest body kept in memory: larger ones are read faster than they are sent. */
export const MAX_CACHED_BODY: number = 1024 * 1024;
/** Default of `memory.bodies`. */
export const DEFAULT_CACHE_BYTES: number = 256 * 1024 * 1024;
/** What an entry costs beside its bytes: key, map slots, the Buffer object. */
const ENTRY_BYTES = 256;

/** Verified bodies by digest, all in memory; the least recently used go first. Synchronous. */
export class BodyCache {
  readonly #bodies: LRUCache<Digest, Buffer> | undefined;

  /** `maxBytes` counts bodies and what keeping them costs; 0 keeps nothing. */
  constructor(maxBytes: number = DEFAULT_CACHE_BYTES) {
    if (maxBytes > 0) {
      const sizeCalculation = (body: Buffer): number => body.length + ENTRY_BYTES;
      this.#bodies = new LRUCache({ maxSize: maxBytes, sizeCalculation });
    }
  }

  /** The whole body. Absent: not in memory. */
  get(digest: Digest): Buffer | undefined {
    return this.#bodies?.get(digest);
  }

  /** Keeps a body whose digest was checked; one above 1 MiB is not kept. */
  set(digest: Digest, body: Buffer): void {
    if (this.#bodies === undefined || body.length > MAX_CACHED_BODY || this.#bodies.has(digest))
      return;
    // A view would keep the whole buffer behind it alive.
    this.#bodies.set(digest, body.buffer.byteLength === body.length ? body : copyOf(body));
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
