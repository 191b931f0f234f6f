import type { CallOptions } from '../body.ts';
import type { Incoming, Stat } from './backend.ts';
import type { Digest } from './digest.ts';
import { ENTRY_BYTES } from './eviction.ts';
import { EvictionLedger, type EvictionLedgerOptions } from './eviction-ledger.ts';
import { EvictionReaders } from './eviction-readers.ts';
import { KeyedLock } from './keyed-lock.ts';
import { Quota } from './quota.ts';
import { type RoomyOptions, whileInRoom } from './quota-room.ts';
import type { S3BackendOptions } from './s3-backend-options.ts';
import { PART_SIZE } from './s3-upload.ts';
import type { BlockSource } from './verified-body.ts';

/** How a bucket is kept within its limits. */
export interface S3QuotaOptions {
  readonly backend: S3BackendOptions;
  /** Removes a body and its row. Throws `unavailable`. */
  readonly remove: (digest: Digest) => Promise<void>;
}

/**
 * Keeps what this node put into a bucket within its limits. What other nodes put there neither counts nor goes; what goes may be
 * on record at another node, and is a miss there. Without limits nothing goes.
 */
export class S3Quota implements AsyncDisposable {
  readonly #options: S3QuotaOptions;
  readonly #readers = new EvictionReaders();
  /** Held by who removes a body, and by who puts it from when its digest is known. */
  readonly #lock = new KeyedLock();
  readonly #leaving = new Map<Digest, Promise<unknown>>();
  readonly #quota: Quota | undefined;

  constructor(options: S3QuotaOptions) {
    const { backend } = options;
    this.#options = options;
    if (backend.quota === undefined) return;
    const remove: EvictionLedgerOptions['remove'] = async ({ digest }, mayGo) =>
      // Who holds it may be waiting for this very eviction.
      !this.#lock.isHeld(digest) && (await this.#remove(digest, mayGo));
    const records = new EvictionLedger({ ...backend, readers: this.#readers, remove });
    this.#quota = new Quota({ ...backend, limits: backend.quota, records });
  }

  /** Begins to evict where more is kept than may be. */
  start(): void {
    this.#quota?.start();
  }

  /** As `Evicting.spare`. */
  spare(isNeeded: (digest: Digest) => boolean): void {
    this.#readers.spare(isNeeded);
  }

  /**
   * Absent: a body is not being removed, and what its row says holds until others get their turn; whoever then wants it to stay asks
   * for `watched` before that. Else resolves once it is gone or stays, and is to be asked for again. Never rejects.
   */
  leaving(digest: Digest): Promise<unknown> | undefined {
    return this.#leaving.get(digest);
  }

  /** The same source; its body stays until it is closed. */
  watched(digest: Digest, source: BlockSource): BlockSource {
    const release = this.#readers.hold(digest);
    return {
      read: async (index, length) => await source.read(index, length),
      close: async () => {
        release();
        await source.close();
      },
    };
  }

  /**
   * Runs `keep` while the body has room, from before its first byte where its length was announced; it gets the body as it comes.
   * Throws as `Quota.reserve`, also once it has begun, and what `keep` throws.
   */
  async put(
    incoming: Incoming,
    options: CallOptions,
    keep: (incoming: Incoming, options: RoomyOptions) => Promise<Stat>,
  ): Promise<Stat> {
    const quota = this.#quota;
    if (quota === undefined) return await keep(incoming, options);
    // It lies there twice for a moment: better refused now than after all of it was sent.
    const twice = incoming.expectedSize === undefined ? 0 : 2 * incoming.expectedSize;
    if (twice > 2 * PART_SIZE && twice > this.#most) (await quota.reserve(twice)).release();
    const over = Promise.withResolvers<void>();
    const held = async (digest: Digest): Promise<void> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      void this.#lock.run(digest, async () => {
        resolve();
        await over.promise;
      });
      await promise;
    };
    try {
      return await whileInRoom(quota, incoming, { op: 's3-backend.put', ...options, held }, keep);
    } finally {
      over.resolve();
    }
  }

  /** Bytes of the largest body that gets room. */
  get #most(): number {
    const { maxBytes = Number.POSITIVE_INFINITY, lowWater = 1 } = this.#options.backend.quota ?? {};
    return maxBytes * lowWater - ENTRY_BYTES;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#quota?.[Symbol.asyncDispose]();
    await this.#lock.idle();
  }

  async #remove(digest: Digest, mayGo: () => boolean): Promise<boolean> {
    return await this.#lock.run(digest, async () => {
      if (!mayGo()) return false;
      const removing = this.#options.remove(digest);
      const settled = removing.catch(() => undefined).finally(() => this.#leaving.delete(digest));
      this.#leaving.set(digest, settled);
      await removing;
      return true;
    });
  }
}
