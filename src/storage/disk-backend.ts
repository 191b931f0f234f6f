import { BLOCK_SIZE, type CallOptions, type OpenOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { codeOf, kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Amount } from '../values.ts';
import type {
  Backend,
  DeleteOptions,
  Health,
  Incoming,
  Leftover,
  Opened,
  Recoverer,
  Scrubbable,
  ScrubOptions,
  ScrubVerdict,
  Sealed,
  Stat,
} from './backend.ts';
import { BlobFolder } from './blob-folder.ts';
import type { BodyCache } from './body-cache.ts';
import type { Digest } from './digest.ts';
import { DiskNotes } from './disk-notes.ts';
import { DiskUpkeep } from './disk-upkeep.ts';
import type { Durability } from './durability.ts';
import type { Pins } from './eviction.ts';
import { EvictionLedger } from './eviction-ledger.ts';
import { EvictionReaders } from './eviction-readers.ts';
import { FreeSpace } from './free-space.ts';
import { bytesOfIncoming } from './incoming-bytes.ts';
import { KeyedLock } from './keyed-lock.ts';
import type { BlobRow, NodeDatabase } from './node-database.ts';
import { Quota, type QuotaLimits } from './quota.ts';
import { withRoom } from './quota-room.ts';
import { SMALL_BODY } from './small-body.ts';
import { StoreGate } from './store-gate.ts';
import { checkSignal, openVerified } from './verified-body.ts';

/** How a disk backend is made. */
export interface DiskBackendOptions {
  readonly name: string;
  /** Absolute path of its folder; made when it is missing. */
  readonly root: string;
  readonly database: NodeDatabase;
  /** Gets small bodies as they are written and read. Absent: nothing is kept in memory. */
  readonly cache?: BodyCache | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Absent: `full`. */
  readonly durability?: Durability | undefined;
  /** Bodies up to so many bytes lie in the database. Absent: `SMALL_BODY`. */
  readonly smallBody?: number | undefined;
  /** False: bytes leave unchecked. Absent: true. */
  readonly verify?: boolean | undefined;
  /** Free space that a write must leave. Absent: the larger of 5 % and 1 GiB. */
  readonly keepFree?: Amount | undefined;
  /** How much it may hold. Absent: any amount, and nothing is evicted. */
  readonly limits?: QuotaLimits | undefined;
  /** Absent: nothing is pinned. */
  readonly pins?: Pins | undefined;
}

/** Evicted at most for one body beside its own size, where less is free than is to be kept. */
const YIELD_BYTES = 64 * 1024 * 1024;

/** Bodies in a folder of this machine, small ones in the node-local database. A body is on disk before its row. */
export class DiskBackend implements Backend, Recoverer, Scrubbable {
  readonly name: string;
  readonly notes: DiskNotes;
  readonly #folder: BlobFolder;
  readonly #options: DiskBackendOptions;
  readonly #database: NodeDatabase;
  readonly #space: FreeSpace;
  readonly #gate: StoreGate;
  readonly #lock = new KeyedLock();
  readonly #upkeep: DiskUpkeep;
  readonly #readers = new EvictionReaders();
  readonly spare = (isNeeded: (digest: Digest) => boolean): void => this.#readers.spare(isNeeded);
  readonly #quota: Quota | undefined;
  readonly #smallBody: number;
  #refusedSize = 0;

  constructor(options: DiskBackendOptions) {
    this.name = options.name;
    this.#options = options;
    this.#database = options.database;
    this.#smallBody = options.smallBody ?? SMALL_BODY;
    this.#folder = new BlobFolder(options.root, options.durability);
    this.notes = new DiskNotes(this.#folder);
    this.#space = new FreeSpace(options.root, options.keepFree, options.clock);
    this.#gate = new StoreGate(options.clock);
    const parts = { folder: this.#folder, lock: this.#lock, readers: this.#readers };
    this.#upkeep = new DiskUpkeep({ ...options, ...parts });
    if (options.durability === 'os') this.#database.relax(this.name);
    const { limits } = options;
    if (limits === undefined) return;
    const records: EvictionLedger = new EvictionLedger({
      ...options,
      readers: this.#readers,
      remove: async (candidate) =>
        await this.#upkeep.evict(candidate, () => records.isIdle(candidate)),
    });
    this.#quota = new Quota({ ...options, limits, records });
  }

  async stat(digest: Digest, { signal }: CallOptions = {}): Promise<Stat | undefined> {
    checkSignal(signal, 'disk-backend.stat');
    return await this.#stat(await this.#upkeep.row(digest));
  }

  async open(digest: Digest, options: OpenOptions = {}): Promise<Opened | undefined> {
    checkSignal(options.signal, 'disk-backend.open');
    const row = await this.#upkeep.row(digest);
    const source = row && (await this.#upkeep.open(row));
    if (row === undefined || source === undefined) return undefined;
    const opened = await openVerified(
      {
        ...row,
        source,
        verify: this.#options.verify ?? true,
        damaged: async (error) => await this.#upkeep.discard(row, 'corrupt_blobs_total', error),
      },
      options,
    );
    if (opened === undefined) return undefined;
    this.#database.used(this.name, digest);
    if (opened.bytes?.length === row.size) this.#options.cache?.set(digest, opened.bytes);
    return opened;
  }

  async put(incoming: Incoming, options: CallOptions = {}): Promise<Stat> {
    const op = 'disk-backend.put';
    return await withRoom(this.#quota, incoming, { op, ...options }, async (sealed) => {
      // A small body is written again as cheaply as it is looked up, but not when others write the same: each would wait for
      // the transaction of the one before.
      const isLookedUp = sealed.size > this.#smallBody || this.#lock.isHeld(sealed.digest);
      return await this.#lock.run(sealed.digest, async () => {
        checkSignal(options.signal, op);
        const row = isLookedUp ? this.#database.blob(this.name, sealed.digest) : undefined;
        // What is in doubt is written anew, which is as cheap as to read it.
        const kept = row && !this.#upkeep.unsynced.doubts(row) && (await this.#stat(row));
        if (kept) return kept;
        return await this.#gate.run(op, async () => await this.#store(sealed, incoming, options));
      });
    });
  }

  async *list(after?: Digest, options?: CallOptions): AsyncIterable<Stat> {
    yield* this.#database.blobs(this.name, after, options);
  }

  async delete(digest: Digest, { signal, unless }: DeleteOptions = {}): Promise<boolean> {
    checkSignal(signal, 'disk-backend.delete');
    return await this.#lock.run(digest, async () => {
      if (await unless?.()) return false;
      const row = this.#database.blob(this.name, digest);
      const isDropped = await this.#database.drop(this.name, digest);
      this.#options.cache?.delete(digest);
      if (row?.place === 0)
        await this.#translated('delete', async () => await this.#folder.remove(digest));
      return isDropped;
    });
  }

  /** Removes temporary files of dead processes; files without a row (a crash came between) get one or are removed. */
  async recover({ signal }: CallOptions = {}): Promise<number> {
    return await this.#translated('recover', async () => {
      await this.#folder.prepare();
      let count = await this.#folder.sweep();
      for await (const digest of this.#folder.digests()) {
        checkSignal(signal, 'disk-backend.recover');
        if (await this.#upkeep.adopt(digest)) count++;
      }
      if (count > 0) this.#options.metrics.count('recovered_total', 'blob', count);
      this.#quota?.start();
      await this.#upkeep.checkUnsynced({ signal });
      return count;
    });
  }

  async *leftovers(): AsyncIterable<Leftover> {
    yield* this.#folder.leftovers();
  }

  async scrub(digest: Digest, options: ScrubOptions = {}): Promise<ScrubVerdict> {
    checkSignal(options.signal, 'disk-backend.scrub');
    const scrub = async (): Promise<ScrubVerdict> => await this.#upkeep.scrub(digest, options);
    return await this.#translated('scrub', scrub);
  }

  async *quarantined(): AsyncIterable<Stat> {
    yield* this.#upkeep.quarantine.list();
  }

  async release(digest: Digest): Promise<boolean> {
    const remove = async (): Promise<boolean> => await this.#upkeep.quarantine.remove(digest);
    return await this.#translated('release', remove);
  }

  async health(): Promise<Health> {
    const { problem, mayProbe } = this.#gate;
    if (problem !== undefined && !mayProbe) return { problem };
    try {
      await this.#gate.run('disk-backend.health', async () => {
        await this.#translated('health', async () => await this.#admit(0));
        // As many bytes as were refused: a nearly full disk still takes a few.
        if (problem !== undefined)
          await this.#translated('health', async () => await this.#probe());
      });
      return {};
    } catch (error) {
      return { problem: messageOf(error) };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#quota?.[Symbol.asyncDispose]();
    await this.#lock.idle();
  }

  async #probe(): Promise<void> {
    await this.#admit(this.#refusedSize);
    await this.#folder.probe(Math.min(this.#refusedSize, BLOCK_SIZE));
  }

  async #store(sealed: Sealed, incoming: Incoming, options: CallOptions): Promise<Stat> {
    const { digest, size, blocks } = sealed;
    const modifiedAt = this.#options.clock.now();
    try {
      return await this.#translated('put', async () => {
        await this.#makeRoom(size);
        await this.#upkeep.unsynced.note();
        if (size <= this.#smallBody) {
          const body = await bytesOfIncoming(incoming, sealed, options);
          await this.#database.put(this.name, { digest, size, blocks, modifiedAt, body });
          this.#options.cache?.set(digest, body);
        } else {
          const file = await incoming.takeFile?.();
          const from = file ?? (await this.#folder.write(digest, size, incoming.open(options)));
          await this.#folder.publish(digest, size, from);
          await this.#database.put(this.name, { digest, size, blocks, modifiedAt });
        }
        return { digest, size, modifiedAt };
      });
    } catch (error) {
      this.#refusedSize = size;
      throw error;
    }
  }

  // Where bodies may be evicted, they yield to what the file system has to keep free, at the pace of what comes.
  async #makeRoom(size: number): Promise<void> {
    try {
      await this.#admit(size);
    } catch (error) {
      const lack = this.#quota && (await this.#space.lack(size));
      if (!lack) throw error;
      await this.#quota?.free(Math.min(lack, size + YIELD_BYTES));
      await this.#admit(size);
    }
  }

  async #admit(size: number): Promise<void> {
    try {
      await this.#space.admit(size);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      await this.#folder.prepare();
      await this.#space.admit(size);
    }
  }

  async #stat(row: BlobRow | undefined): Promise<Stat | undefined> {
    if (row === undefined) return undefined;
    const { digest, size, modifiedAt, place } = row;
    if (place === 0 && !(await this.#folder.has(digest, size))) return undefined;
    return { digest, size, modifiedAt };
  }

  async #translated<T>(verb: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof ProxyError) throw error;
      const kind = kindOf(error) === 'aborted' ? 'aborted' : 'unavailable';
      const message = `${this.#options.root}: ${messageOf(error)}`;
      throw new ProxyError(kind, `disk-backend.${verb}`, message, { cause: error });
    }
  }
}
