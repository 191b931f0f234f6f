import { BLOCK_SIZE, type CallOptions } from '../body.ts';
import { kindOf, messageOf } from '../errors.ts';
import type { ScrubOptions, ScrubVerdict, Stat } from './backend.ts';
import type { Digest } from './digest.ts';
import type { S3BackendOptions } from './s3-backend-options.ts';
import type { S3Keys } from './s3-keys.ts';
import type { S3Objects } from './s3-objects.ts';
import { ReadAhead } from './s3-read-ahead.ts';
import { S3Source } from './s3-source.ts';
import { scrubBody } from './scrub-body.ts';
import type { BlockSource } from './verified-body.ts';

/** A larger body takes the store too long to copy: it is removed at once. */
const MAX_COPY = 512 * 1024 * 1024;
/** Damaged bodies remembered, so that each is counted once. */
const MAX_KNOWN = 1000;

/** What a bucket's upkeep works on. */
export interface S3UpkeepOptions {
  readonly objects: S3Objects;
  readonly keys: S3Keys;
  readonly backend: S3BackendOptions;
  readonly idleMs: number;
}

/** What a bucket does about bodies that are damaged or gone: finds them, counts them, puts them aside. */
export class S3Upkeep {
  readonly #options: S3UpkeepOptions;
  readonly #known = new Map<
    Digest,
    { readonly modifiedAt: number; readonly gone: Promise<void> }
  >();

  constructor(options: S3UpkeepOptions) {
    this.#options = options;
  }

  /** As `Scrubbable.scrub`. */
  async scrub(digest: Digest, options: ScrubOptions): Promise<ScrubVerdict> {
    const { objects, keys, backend } = this.#options;
    const { signal } = options;
    const row = backend.database.blob(backend.name, digest);
    const found = await objects.head(keys.body(digest), { signal });
    if (found === undefined) {
      if (row === undefined) return 'absent';
      await this.forget(digest);
      return 'missing';
    }
    const modifiedAt = row?.modifiedAt ?? found.modifiedAt;
    try {
      await scrubBody({ digest, ...found }, this.#source(digest, found.size, options), options);
      return 'whole';
    } catch (error) {
      if (kindOf(error) === 'not-found') return 'absent';
      if (kindOf(error) !== 'integrity') throw error;
      await this.discard({ digest, modifiedAt }, error);
      return 'damaged';
    }
  }

  /** Makes a damaged body go away, once, whoever found it. Never rejects. */
  async discard(
    { digest, modifiedAt }: Pick<Stat, 'digest' | 'modifiedAt'>,
    error: unknown,
  ): Promise<void> {
    const known = this.#known.get(digest);
    if (known?.modifiedAt === modifiedAt) return await known.gone;
    const { metrics, log, name } = this.#options.backend;
    metrics.count('corrupt_blobs_total');
    log.warn(
      { digest, backend: name, reason: messageOf(error) },
      'stored body is unusable and was removed',
    );
    const gone = this.#putAside(digest);
    this.#known.set(digest, { modifiedAt, gone });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
    await gone;
  }

  /** Counts a body as gone from the bucket. */
  async forget(digest: Digest): Promise<void> {
    const { metrics, log } = this.#options.backend;
    metrics.count('missing_blobs_total');
    log.warn({ digest }, 'stored body is gone from the bucket');
    await this.#drop(digest);
  }

  /**
   * Removes a body and what lies beside it, then its row: what cannot be removed now stays on record. One that is put meanwhile keeps
   * its row. Throws `unavailable`.
   */
  async remove(digest: Digest, options: CallOptions): Promise<void> {
    const { objects, keys, backend } = this.#options;
    const row = backend.database.blob(backend.name, digest);
    backend.cache?.delete(digest);
    await objects.delete(keys.body(digest), options);
    await objects.delete(keys.blocks(digest), options);
    if (row !== undefined) await this.#drop(digest, row.modifiedAt);
  }

  /**
   * Removes a body as eviction does: what lies there goes before its row, so that a crash between the two leaves nothing there
   * that nobody knows of. Throws `unavailable`.
   */
  async evict(digest: Digest): Promise<void> {
    const { objects, keys, backend } = this.#options;
    const size = backend.database.blob(backend.name, digest)?.size ?? 0;
    await objects.delete(keys.body(digest));
    if (size > BLOCK_SIZE) await objects.delete(keys.blocks(digest));
    await this.#drop(digest);
  }

  /** As `Scrubbable.quarantined`. */
  async *quarantined(options: CallOptions): AsyncGenerator<Stat> {
    const { objects, keys } = this.#options;
    for await (const { key, size, modifiedAt } of objects.all(keys.quarantine, options)) {
      const digest = keys.quarantinedOf(key);
      if (digest !== undefined) yield { digest, size, modifiedAt };
    }
  }

  /** As `Scrubbable.release`. */
  async release(digest: Digest, options: CallOptions): Promise<boolean> {
    const { objects, keys } = this.#options;
    const key = keys.quarantined(digest);
    const found = await objects.head(key, options);
    if (found !== undefined) await objects.delete(key, options);
    return found !== undefined;
  }

  // A request for each block: at the pace of upkeep a longer answer would stand still for too long.
  #source(digest: Digest, size: number, { signal }: CallOptions): BlockSource {
    const { objects, keys, idleMs } = this.#options;
    const key = keys.body(digest);
    const ahead = new ReadAhead(0);
    const read = async (index: number, length: number): Promise<Buffer> => {
      const start = index * BLOCK_SIZE;
      const end = start + length - 1;
      const source = new S3Source(objects, { key, size, start, end, ahead, idleMs, signal });
      try {
        return await source.read(index, length);
      } finally {
        await source.close();
      }
    };
    return { read, close: async () => {} };
  }

  async #putAside(digest: Digest): Promise<void> {
    const { objects, keys, backend } = this.#options;
    try {
      const body = keys.body(digest);
      const size = (await objects.head(body, {}))?.size ?? MAX_COPY + 1;
      if (size <= MAX_COPY) await objects.copy(body, keys.quarantined(digest), {});
    } catch (error) {
      const reason = messageOf(error);
      backend.log.warn({ digest, reason }, 'unusable body could not be put aside');
    }
    try {
      await this.remove(digest, {});
    } catch (error) {
      this.#known.delete(digest);
      const reason = messageOf(error);
      backend.log.error({ digest, reason }, 'unusable body could not be removed');
    }
  }

  async #drop(digest: Digest, ifModifiedAt?: number): Promise<void> {
    const { cache, database, name } = this.#options.backend;
    cache?.delete(digest);
    await database.drop(name, digest, ifModifiedAt).catch(() => false);
  }
}
