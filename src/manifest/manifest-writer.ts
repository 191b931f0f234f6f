import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { kindOf } from '../errors.ts';
import type { CounterName } from '../metrics.ts';
import { isDamaged } from '../sqlite/open-database.ts';
import type { Notify } from '../sqlite/serve-writer.ts';
import type { ChangeStatements } from './change-statements.ts';
import {
  CommitQueue,
  giveUp,
  type Waiting,
  type WaitingChange,
  type WaitingPurge,
} from './commit-queue.ts';
import type { DatabaseAccess } from './database-access.ts';
import { FreshnessWriter } from './freshness-writer.ts';
import type { HaltLease } from './halt-lock.ts';
import { pruneJournal } from './journal-pruning.ts';
import type { ManifestDatabase } from './manifest-database.ts';
import { WriterPlace } from './writer-place.ts';
import type {
  ChangeResponse,
  LocalRequest,
  PurgeResponse,
  WriterEvent,
  WriterResponse,
  WriterSettings,
} from './writer-protocol.ts';
import { isChangeAtFault, WriterTrouble, wantsReopening } from './writer-trouble.ts';

/** Entries that a purge changes in one transaction; well within a lease. */
const PURGE_ROWS = 2000;
const PRUNE_EVERY_MS = 10 * 60 * 1000;
/** Longest that starting waits for a first look at the database before the node goes on without. */
const OPEN_WAIT_MS = 1000;
/** Longest that stopping goes on trying to write what waits. */
const CLOSE_WAIT_MS = 5000;

/** What the writer needs beside its settings. */
export interface ManifestWriterContext {
  readonly clock: Clock;
  readonly notify: Notify<WriterEvent>;
  /** Milliseconds that each transaction is stretched by before it commits; tests look at the lock meanwhile. 0: none. */
  readonly commitDelayMs: number;
}

/**
 * Writes the manifest: takes what is asked into a queue and writes it in groups, each in one transaction under the
 * HALT lock. What cannot be written stays in the queue and is tried again. Lives in a thread of its own.
 */
export class ManifestWriter {
  readonly #context: ManifestWriterContext;
  readonly #queue = new CommitQueue();
  readonly #place: WriterPlace;
  readonly #database: DatabaseAccess;
  readonly #freshness: FreshnessWriter;
  readonly #trouble: WriterTrouble;
  #lease: HaltLease | undefined;
  #wake: () => void = () => {};
  #running: Promise<void>;
  #prunedAt = Number.NEGATIVE_INFINITY;
  #closeBy: number | undefined;

  constructor(settings: WriterSettings, context: ManifestWriterContext) {
    this.#context = context;
    this.#place = new WriterPlace(settings, context);
    this.#database = this.#place.database;
    this.#freshness = new FreshnessWriter(settings.nodeDatabasePath);
    this.#trouble = new WriterTrouble(context.notify);
    this.#running = this.#run();
  }

  /** Where it writes. */
  get place(): WriterPlace {
    return this.#place;
  }

  /** Answers one request, as soon as it is durable or known not to be written. */
  async handle(request: LocalRequest): Promise<WriterResponse> {
    switch (request.op) {
      case 'open':
        this.#freshness.open();
        await this.#firstOpen();
        return null;
      case 'damaged':
        this.#database.suspect();
        this.#wake();
        return null;
      case 'freshness':
        this.#freshness.write(request.rows, request.expired);
        return null;
      case 'purge':
        return await new Promise<PurgeResponse>((resolve, reject) => {
          if (!request.purge.soft) {
            for (const put of this.#queue.takePurged(request.purge))
              put.resolve({ outcome: 'purged' });
          }
          this.#queue.push({ request, since: this.#now(), progress: undefined, resolve, reject });
          this.#wake();
        });
      default:
        return await new Promise<ChangeResponse>((resolve) => {
          this.#queue.push({ request, since: this.#now(), resolve });
          // Else it is waiting for the oldest one's time already.
          if (this.#queue.size === 1 || this.#queue.dueIn(this.#now()) === 0) this.#wake();
        });
    }
  }

  /** Writes what waits, for five seconds at most, and closes; what is left is answered as dropped. */
  async close(): Promise<void> {
    this.#closeBy = this.#now() + CLOSE_WAIT_MS;
    this.#wake();
    await this.#running;
    for (const waiting of this.#queue.takeAll()) giveUp(waiting);
    await this.#place.close();
    this.#freshness.close();
  }

  async #run(): Promise<void> {
    for (;;) {
      await this.#untilDue();
      if (this.#closeBy !== undefined && (this.#queue.size === 0 || this.#now() > this.#closeBy))
        return;
      try {
        await this.#underLock(() => this.#flush());
        this.#trouble.solved();
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  /** Resolves when there is something to do: a group that waited its time, the end of a pause, or the wish to stop. */
  async #untilDue(): Promise<void> {
    const pauseEnd = this.#now() + this.#trouble.pauseMs;
    for (;;) {
      const closing = this.#closeBy !== undefined;
      const pause = Math.max(0, pauseEnd - this.#now());
      const due = this.#database.isSuspect || closing ? 0 : this.#queue.dueIn(this.#now());
      // While there is a problem the database is tried now and then though nothing waits, so that healing is seen.
      const wait = this.#trouble.isThere && !closing ? pause : Math.max(pause, due);
      if (wait === 0 || (closing && this.#queue.size === 0)) return;
      await new Promise<void>((resolve) => {
        const timer = wait === Number.POSITIVE_INFINITY ? undefined : setTimeout(resolve, wait);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = () => {};
    }
  }

  /**
   * Runs `work` in one transaction of its own, under the lock and between groups. Throws what it throws, and `timeout` when
   * the lock was not had.
   */
  async exclusively<Result>(work: (database: ManifestDatabase) => Result): Promise<Result> {
    try {
      return await this.#underLock(() => {
        const { database } = this.#database.get(this.#context.clock.now());
        this.#prune(database);
        return this.#commit(database, () => work(database));
      });
    } catch (error) {
      if (isDamaged(error)) this.#database.suspect();
      if (wantsReopening(error)) this.#database.close();
      throw error;
    }
  }

  /** The lock itself: while it is held nothing is written here. Throws `timeout` when it was not had in time. */
  async acquire(options?: CallOptions): Promise<HaltLease> {
    return await this.#place.lock.acquire(options);
  }

  /** Takes away and gives what is not yet written, for another to write. */
  takeAll(): Waiting[] {
    return this.#queue.takeAll();
  }

  async #underLock<Result>(work: (lease: HaltLease) => Result): Promise<Result> {
    const left =
      this.#closeBy === undefined
        ? undefined
        : AbortSignal.timeout(Math.max(1, Math.ceil(this.#closeBy - this.#now())));
    await using lease = await this.acquire({ signal: left });
    this.#count('halt_acquired_total');
    this.#lease = lease;
    return work(lease);
  }

  /** One transaction: a group of changes, a part of a purge, or only a look at the file. Synchronous. */
  #flush(): void {
    const { database, statements } = this.#database.get(this.#context.clock.now());
    this.#prune(database);
    const group = this.#queue.nextGroup();
    if (!('length' in group)) this.#flushPurge(database, statements, group);
    else if (group.length === 0) this.#probe(database);
    else this.#flushGroup(database, statements, group);
  }

  #flushGroup(
    database: ManifestDatabase,
    statements: ChangeStatements,
    group: readonly WaitingChange[],
  ): void {
    const responses = this.#commit(database, () =>
      group.map(({ request }) =>
        request.op === 'put' ? statements.put(request) : statements.delete(request),
      ),
    );
    this.#queue.remove(group.length);
    this.#count('commits_total');
    for (const [index, change] of group.entries())
      change.resolve(responses[index] as ChangeResponse);
  }

  #flushPurge(database: ManifestDatabase, statements: ChangeStatements, purge: WaitingPurge): void {
    purge.progress = this.#commit(database, () =>
      statements.purge(purge.request, purge.progress, PURGE_ROWS),
    );
    this.#count('commits_total');
    const { left, after: _, ...response } = purge.progress;
    if (left.length > 0) return;
    this.#queue.remove(1);
    purge.resolve(response);
  }

  /** Shows whether a database that could not be written can be written again. */
  #probe(database: ManifestDatabase): void {
    if (!this.#trouble.isThere) return;
    database.transaction(
      () => database.database.prepare('UPDATE namespaces SET next_jid = next_jid').run(),
      () => {},
    );
  }

  #commit<Result>(database: ManifestDatabase, work: () => Result): Result {
    return this.#place.transaction(database, work, () => {
      const { commitDelayMs } = this.#context;
      if (commitDelayMs > 0)
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, commitDelayMs);
      this.#lease?.assertHeld();
    });
  }

  #prune(database: ManifestDatabase): void {
    if (this.#now() - this.#prunedAt < PRUNE_EVERY_MS || this.#trouble.isThere) return;
    this.#prunedAt = this.#now();
    this.#commit(database, () => pruneJournal(database, this.#context.clock.now()));
  }

  /** Opens without the lock where nothing has to be written for it, else under the lock if that is soon had. */
  async #firstOpen(): Promise<void> {
    try {
      if (this.#database.openWithoutLock()) return;
    } catch (error) {
      if (kindOf(error) === 'conflict') throw error;
      this.#failed(error);
      return;
    }
    const opened = this.#underLock(() => this.#database.get(this.#context.clock.now())).then(
      () => this.#trouble.solved(),
      (error: unknown) => {
        this.#failed(error);
        if (kindOf(error) === 'conflict') throw error;
      },
    );
    // It may fail after nobody waits for it any more.
    opened.catch(() => {});
    await Promise.race([opened, this.#context.clock.sleep(OPEN_WAIT_MS)]);
    if (!this.#database.isOpen)
      this.#trouble.say('the manifest is not open yet: another process holds its lock');
  }

  #failed(error: unknown): void {
    // Only stopping gives a wait for the lock up.
    if (kindOf(error) === 'aborted') return;
    if (isDamaged(error)) this.#database.suspect();
    if (wantsReopening(error)) this.#database.close();
    if (isChangeAtFault(error)) this.#queue.refuse(error);
    this.#trouble.failed(error);
    this.#wake();
  }

  #count(name: CounterName, label = ''): void {
    this.#context.notify({ type: 'count', name, label });
  }

  #now(): number {
    return this.#context.clock.monotonic();
  }
}
