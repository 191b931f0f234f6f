import { join } from 'node:path';
import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { codeOf, kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ScrubOptions, ScrubVerdict } from './backend.ts';
import type { BlobFolder } from './blob-folder.ts';
import type { BodyCache } from './body-cache.ts';
import { blocksOfFile, type Digest } from './digest.ts';
import type { Durability } from './durability.ts';
import type { EvictionReaders } from './eviction-readers.ts';
import type { KeyedLock } from './keyed-lock.ts';
import type { BlobRow, NodeDatabase } from './node-database.ts';
import { QuarantineFolder } from './quarantine-folder.ts';
import { scrubBody } from './scrub-body.ts';
import type { Candidate } from './sieve.ts';
import { UnsyncedBodies } from './unsynced-bodies.ts';
import { type BlockSource, checkSignal } from './verified-body.ts';

/** Below a disk's folder: what it found damaged. */
const QUARANTINE = 'quarantine';

/** What a disk's upkeep works on. */
export interface DiskUpkeepOptions {
  /** The backend's. */
  readonly name: string;
  readonly folder: BlobFolder;
  readonly database: NodeDatabase;
  /** Absent: `full`. */
  readonly durability?: Durability | undefined;
  /** Held while a digest is written or removed. */
  readonly lock: KeyedLock;
  /** Told of each file that is opened for a client. */
  readonly readers: EvictionReaders;
  readonly cache?: BodyCache | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What a disk does about bodies that are damaged, gone, in doubt or without a row: finds them, counts them, puts them aside. */
export class DiskUpkeep {
  readonly quarantine: QuarantineFolder;
  /** Written without a sync before the machine stopped. */
  readonly unsynced: UnsyncedBodies;
  readonly #options: DiskUpkeepOptions;

  constructor(options: DiskUpkeepOptions) {
    this.#options = options;
    this.quarantine = new QuarantineFolder(join(options.folder.root, QUARANTINE), options.clock);
    const { durability = 'full' } = options;
    this.unsynced = new UnsyncedBodies({ ...options, durability });
  }

  /** The row of a body, one in doubt only once it was read to its end. Absent: not kept here, or found damaged. */
  async row(digest: Digest): Promise<BlobRow | undefined> {
    const { name, database } = this.#options;
    const row = database.blob(name, digest);
    if (row === undefined || !this.unsynced.doubts(row)) return row;
    await this.#check(digest);
    return database.blob(name, digest);
  }

  /** Reads all that is in doubt. */
  async checkUnsynced({ signal }: CallOptions): Promise<void> {
    const { name, log } = this.#options;
    let bodies = 0;
    for await (const { digest } of this.unsynced.rows()) {
      checkSignal(signal, 'disk-upkeep.check');
      await this.#check(digest);
      bodies++;
    }
    if (bodies > 0)
      log.info(
        { backend: name, bodies },
        'the machine stopped before bodies were synced: read them',
      );
  }

  /** Opens a body that has a row. Absent: what should hold it is gone or is no such file; its row is gone, too. */
  async open(row: BlobRow): Promise<BlockSource | undefined> {
    if (row.place > 0) return this.#smallSource(row);
    const { readers, folder } = this.#options;
    const { digest, size } = row;
    try {
      return await readers.watch(digest, async () => await folder.open(digest, size));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') await this.discard(row, 'missing_blobs_total', error);
      else if (kindOf(error) === 'integrity') await this.discard(row, 'corrupt_blobs_total', error);
      else throw error;
      return undefined;
    }
  }

  /** What to do about a file. True: it was of no use and is gone. False: it got its row, or has one by now. */
  async adopt(digest: Digest): Promise<boolean> {
    const { name, database, folder, clock, lock } = this.#options;
    if (database.blob(name, digest) !== undefined) return false;
    return await lock.run(digest, async () => {
      if (database.blob(name, digest) !== undefined) return false;
      const found = await blocksOfFile(folder.pathOf(digest)).catch(() => undefined);
      if (found?.digest !== digest) {
        await folder.remove(digest);
        return true;
      }
      await database.put(name, { ...found, modifiedAt: clock.now() });
      return false;
    });
  }

  /** Removes what is to be evicted if `isIdle` still says so. False: it stays, since it is in use or was put again. */
  async evict(candidate: Candidate, isIdle: () => boolean): Promise<boolean> {
    const { name, cache, database, folder, lock } = this.#options;
    const { digest, place } = candidate;
    // Who holds it may be waiting for this very eviction.
    if (lock.isHeld(digest)) return false;
    return await lock.run(digest, async () => {
      if (!isIdle() || !(await database.evict(name, candidate))) return false;
      cache?.delete(digest);
      if (place === 0) await folder.remove(digest);
      return true;
    });
  }

  /** As `Scrubbable.scrub`. */
  async scrub(digest: Digest, options: ScrubOptions): Promise<ScrubVerdict> {
    const { name, database, folder } = this.#options;
    const row = database.blob(name, digest);
    if (row === undefined) return 'absent';
    try {
      const source = row.place > 0 ? this.#smallSource(row) : await folder.open(digest, row.size);
      const blocks = await scrubBody(row, source, options);
      // The body is right, so what is wrong is what was noted of it.
      if (row.place === 0 && !blocks.equals(row.blocks)) await this.#correct(row, blocks);
      return 'whole';
    } catch (error) {
      const isGone = codeOf(error) === 'ENOENT';
      if (!isGone && kindOf(error) !== 'integrity') throw error;
      // Removed or written anew while it was read: then this says nothing.
      const isOther = database.blob(name, digest)?.modifiedAt !== row.modifiedAt;
      await this.discard(row, isGone ? 'missing_blobs_total' : 'corrupt_blobs_total', error);
      if (isOther) return 'absent';
      return isGone ? 'missing' : 'damaged';
    }
  }

  /** Makes a body that cannot be used go away, once, whoever found it; a damaged one is put aside. Never rejects. */
  async discard(
    row: BlobRow,
    counter: 'corrupt_blobs_total' | 'missing_blobs_total',
    error: unknown,
  ): Promise<void> {
    const { digest, modifiedAt } = row;
    const { name, metrics, log, cache, database, folder, lock } = this.#options;
    await lock.run(digest, async () => {
      try {
        // Whoever came first has counted it; a later put may have healed it.
        if (database.blob(name, digest)?.modifiedAt !== modifiedAt) return;
        metrics.count(counter);
        log.warn(
          { digest, backend: name, reason: messageOf(error) },
          'stored body is unusable and was removed',
        );
        cache?.delete(digest);
        if (counter === 'corrupt_blobs_total') await this.#putAside(row);
        await database.drop(name, digest, modifiedAt);
        if (row.place === 0) await folder.remove(digest);
      } catch (cause) {
        log.error({ digest, reason: messageOf(cause) }, 'unusable body could not be removed');
      }
    });
  }

  async #check(digest: Digest): Promise<void> {
    await this.unsynced.checked(digest, async () => await this.scrub(digest, {}));
  }

  #smallSource(row: BlobRow): BlockSource {
    return {
      read: async (): Promise<Buffer> => {
        const body = this.#options.database.smallBody(row.place);
        if (body?.length === row.size) return body;
        throw new ProxyError(
          'integrity',
          'disk-backend.read',
          `${row.digest} is not whole in the node database`,
        );
      },
      close: async () => {},
    };
  }

  async #correct(row: BlobRow, blocks: Buffer): Promise<void> {
    const { name, database, log, lock } = this.#options;
    const { digest, size, modifiedAt } = row;
    await lock.run(digest, async () => {
      if (database.blob(name, digest)?.modifiedAt !== modifiedAt) return;
      log.warn({ digest, backend: name }, 'block digests of a stored body were wrong: corrected');
      await database.put(name, { digest, size, blocks, modifiedAt });
    });
  }

  // For people to look at: a disk that cannot take it even so must not keep the damaged body in use.
  async #putAside({ digest, place }: BlobRow): Promise<void> {
    const { database, folder, log } = this.#options;
    try {
      const body = place > 0 ? database.smallBody(place) : undefined;
      if (body !== undefined) await this.quarantine.write(digest, body);
      else if (place === 0) await this.quarantine.take(digest, folder.pathOf(digest));
    } catch (error) {
      log.warn({ digest, reason: messageOf(error) }, 'unusable body could not be put aside');
    }
  }
}
