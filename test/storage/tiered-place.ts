import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import Database from 'better-sqlite3';
import type { CallOptions, OpenOptions } from '../../src/body.ts';
import { SystemClock } from '../../src/clock.ts';
import { ProxyError } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { bodyRelay } from '../../src/stashers/body-relay.ts';
import { SpoolFolder } from '../../src/stashers/spool-folder.ts';
import {
  type Backend,
  type DeleteOptions,
  type Evicting,
  type Health,
  type Incoming,
  isEvicting,
  type Opened,
  type Stat,
} from '../../src/storage/backend.ts';
import type { Digest } from '../../src/storage/digest.ts';
import { DiskBackend } from '../../src/storage/disk-backend.ts';
import type { FarLimits } from '../../src/storage/far-store.ts';
import { MemoryBackend } from '../../src/storage/memory-backend.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import type { QuotaLimits } from '../../src/storage/quota.ts';
import { TieredBackend, type TieredBackendOptions } from '../../src/storage/tiered-backend.ts';
import { filesBelow } from '../support/audit-store.ts';
import { tempFolder } from '../support/temp-folder.ts';

const clock = new SystemClock();

/** A store between the tiered one and a real one: counts what is asked and can be away, silent or full. */
export class WatchedBackend implements Backend, Evicting {
  readonly name: string;
  /** Ranges that were read; absent: the whole. */
  readonly opens: OpenOptions['range'][] = [];
  puts = 0;
  /** `away`: refuses each call; `silent`: answers none; `full`: refuses writes. Absent: works. */
  state: 'away' | 'silent' | 'full' | undefined;
  /** What each call throws. Absent: nothing. */
  fails: ProxyError | undefined;
  /** Bodies stand still after so many bytes. Absent: they do not. */
  pause: { readonly at: number; readonly until: Promise<void> } | undefined;
  /** Resolved before a body is opened. */
  gate: Promise<void> = Promise.resolve();
  readonly inner: Backend;

  constructor(inner: Backend) {
    this.name = inner.name;
    this.inner = inner;
  }

  async stat(digest: Digest, options: CallOptions = {}): Promise<Stat | undefined> {
    await this.#pass(options);
    return await this.inner.stat(digest, options);
  }

  async open(digest: Digest, options: OpenOptions = {}): Promise<Opened | undefined> {
    await this.#pass(options);
    await this.gate;
    this.opens.push(options.range);
    const opened = await this.inner.open(digest, options);
    if (opened === undefined || this.pause === undefined) return opened;
    const { size, modifiedAt, body } = opened;
    return { digest, size, modifiedAt, body: Readable.from(paused(body, this.pause)) };
  }

  async put(incoming: Incoming, options: CallOptions = {}): Promise<Stat> {
    this.puts += 1;
    await this.#pass(options);
    if (this.state === 'full') throw new ProxyError('unavailable', 'watched.put', 'full');
    return await this.inner.put(incoming, options);
  }

  async delete(digest: Digest, options: DeleteOptions = {}): Promise<boolean> {
    await this.#pass(options);
    return await this.inner.delete(digest, options);
  }

  spare(isNeeded: (digest: Digest) => boolean): void {
    if (isEvicting(this.inner)) this.inner.spare(isNeeded);
  }

  list(after?: Digest, options?: CallOptions): AsyncIterable<Stat> {
    return this.inner.list(after, options);
  }

  async health(options?: CallOptions): Promise<Health> {
    return this.state === undefined ? await this.inner.health(options) : { problem: this.state };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.inner[Symbol.asyncDispose]();
  }

  async #pass({ signal }: CallOptions): Promise<void> {
    if (this.fails !== undefined) throw this.fails;
    if (this.state === 'away') throw new ProxyError('unavailable', 'watched.call', 'away');
    if (this.state !== 'silent') return;
    const left = Promise.withResolvers<never>();
    const leave = (): void =>
      left.reject(new ProxyError('aborted', 'watched.call', 'the caller left'));
    if (signal?.aborted === true) leave();
    signal?.addEventListener('abort', leave, { once: true });
    await left.promise;
  }
}

/** A tiered store under test and its inside. */
export interface TieredPlace extends AsyncDisposable {
  readonly folder: string;
  /** Folder of the near store's files. */
  readonly nearRoot: string;
  /** Counters of the tiered one alone; the stores have their own. */
  readonly metrics: Metrics;
  readonly nearMetrics: Metrics;
  readonly farMetrics: Metrics;
  readonly near: WatchedBackend;
  readonly far: WatchedBackend;
  readonly spool: SpoolFolder;
  readonly database: NodeDatabase;
  readonly tiered: TieredBackend;
  /** Closes all and opens it again on the same data; what a kill leaves is what closing leaves. */
  reopen(): Promise<TieredBackend>;
  /** Flips one bit of a body that a disk store keeps. */
  flip(tier: 'near' | 'far', digest: Digest, offset: number): Promise<void>;
  /** Spool and temporary files. */
  leftovers(): Promise<string[]>;
}

/** What differs from a disk before a disk. */
export interface TieredPlaceOptions extends Partial<TieredBackendOptions> {
  readonly nearType?: 'disk' | 'memory' | undefined;
  /** Absent: the near store holds any amount. */
  readonly nearLimits?: QuotaLimits | undefined;
  /** The same of the far store, where it is a disk. */
  readonly farLimits?: QuotaLimits | undefined;
  /** Makes the far store. Absent: a disk. */
  readonly makeFar?: ((database: NodeDatabase, metrics: Metrics) => Backend) | undefined;
}

/** Quick enough that no test waits for what is tried again. */
const RETRY_MS = 20;
/** For tests whose far store is silent; a busy machine is slower than that now and then. */
export const SHORT_LIMITS: FarLimits = { openMs: 400, putMs: 400, putMibMs: 20 };

/** Opens a tiered store in a folder of its own. */
export async function openTiered(options: TieredPlaceOptions = {}): Promise<TieredPlace> {
  const { nearType = 'disk', nearLimits, farLimits, makeFar, ...more } = options;
  const folder = await tempFolder();
  const [metrics, nearMetrics, farMetrics] = [new Metrics(), new Metrics(), new Metrics()];
  const nearRoot = join(folder.path, 'near');
  const keepFree = { kind: 'bytes', bytes: 0 } as const;
  const spool = new SpoolFolder(join(folder.path, 'spool'), 1024 ** 3);
  let opened: AsyncDisposable[] = [];
  const start = async (): Promise<Pick<TieredPlace, 'database' | 'near' | 'far' | 'tiered'>> => {
    const path = join(folder.path, 'node.db');
    const log = silentLogger;
    const database = await NodeDatabase.open({ path, clock, log });
    const disk = (
      name: string,
      root: string,
      counters: Metrics,
      limits?: QuotaLimits,
    ): DiskBackend =>
      new DiskBackend({ name, root, database, clock, log, metrics: counters, keepFree, limits });
    const near = new WatchedBackend(
      nearType === 'disk'
        ? disk('near', nearRoot, nearMetrics, nearLimits)
        : new MemoryBackend({ name: 'near', clock, log, metrics: nearMetrics, limits: nearLimits }),
    );
    const far = new WatchedBackend(
      makeFar?.(database, farMetrics) ??
        disk('far', join(folder.path, 'far'), farMetrics, farLimits),
    );
    const tiered = new TieredBackend({
      ...{ name: 'both', near, far, database, startRelay: bodyRelay(spool) },
      ...{ clock, log, metrics, retryMs: RETRY_MS, ...more },
    });
    opened = [database, far, near, tiered];
    return { database, near, far, tiered };
  };
  const close = async (): Promise<void> => {
    for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
    spool.close();
  };
  const place: TieredPlace = {
    ...{ folder: folder.path, nearRoot, metrics, nearMetrics, farMetrics, spool },
    ...(await start()),
    reopen: async () => {
      await close();
      Object.assign(place, await start());
      return place.tiered;
    },
    flip: async (tier, digest, offset) => {
      const row = place.database.blob(tier, digest);
      if (row === undefined) return;
      if (row.place > 0) flipInDatabase(place.database.path, row.place, offset);
      else await flipInFile(join(folder.path, tier, digest.slice(0, 2), digest), offset);
    },
    leftovers: async () => {
      const folders = ['spool', 'near/tmp', 'far/tmp'].map((name) => join(folder.path, name));
      return (await Promise.all(folders.map(filesBelow))).flat();
    },
    [Symbol.asyncDispose]: async () => {
      await close();
      await folder[Symbol.asyncDispose]();
    },
  };
  return place;
}

async function* paused(
  body: AsyncIterable<Buffer>,
  { at, until }: NonNullable<WatchedBackend['pause']>,
): AsyncGenerator<Buffer> {
  let given = 0;
  for await (const piece of body) {
    if (given >= at) await until;
    given += piece.length;
    yield piece;
  }
}

async function flipInFile(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, offset);
}

function flipInDatabase(path: string, id: number, offset: number): void {
  const database = new Database(path);
  const find = database.prepare<[number], Buffer>('SELECT body FROM small_bodies WHERE id = ?');
  const body = find.pluck().get(id) as Buffer;
  body[offset] = (body[offset] ?? 0) ^ 1;
  database.prepare('UPDATE small_bodies SET body = ? WHERE id = ?').run(body, id);
  database.close();
}
