import type { Clock } from '../clock.ts';
import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type { CounterName } from '../metrics.ts';
import { isDamaged, sqliteCode } from '../sqlite/open-database.ts';
import type { Notify } from '../sqlite/serve-writer.ts';
import { ChangeStatements } from './change-statements.ts';
import { CommitQueue, isChange, type WaitingChange, type WaitingPurge } from './commit-queue.ts';
import { FreshnessWriter } from './freshness-writer.ts';
import type { HaltLease, HaltLock } from './halt-lock.ts';
import { pruneJournal } from './journal-pruning.ts';
import { localLock, noLock } from './local-lock.ts';
import { assertWritable, checkDatabase, ManifestDatabase, putAside } from './manifest-database.ts';
import type {
  ChangeResponse,
  PurgeResponse,
  WriterEvent,
  WriterRequest,
  WriterResponse,
  WriterSettings,
} from './writer-protocol.ts';

const FIRST_BACKOFF_MS = 20;
const LAST_BACKOFF_MS = 2000;
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
  readonly #settings: WriterSettings;
  readonly #context: ManifestWriterContext;
  readonly #queue = new CommitQueue();
  readonly #freshness: FreshnessWriter;
  #lock: HaltLock | undefined;
  #lease: HaltLease | undefined;
  #open: { readonly database: ManifestDatabase; readonly statements: ChangeStatements } | undefined;
  #wake: () => void = () => {};
  #running: Promise<void>;
  #problem: string | undefined;
  #backoff = 0;
  /** Changes still to be written one by one, after a group held one that cannot be written at all. */
  #single = 0;
  #suspect = false;
  #prunedAt = Number.NEGATIVE_INFINITY;
  #closeBy: number | undefined;

  constructor(settings: WriterSettings, context: ManifestWriterContext) {
    this.#settings = settings;
    this.#context = context;
    this.#freshness = new FreshnessWriter(settings.nodeDatabasePath);
    this.#running = this.#run();
  }

  /** Answers one request, as soon as it is durable or known not to be written. */
  async handle(request: WriterRequest): Promise<WriterResponse> {
    switch (request.op) {
      case 'open':
        this.#openFreshness();
        await this.#firstOpen();
        return null;
      case 'damaged':
        this.#suspect = true;
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
          this.#wake();
        });
    }
  }

  /** Writes what waits, for five seconds at most, and closes; what is left is answered as dropped. */
  async close(): Promise<void> {
    this.#closeBy = this.#now() + CLOSE_WAIT_MS;
    this.#wake();
    await this.#running;
    for (const waiting of this.#queue.takeAll()) {
      if (isChange(waiting)) waiting.resolve({ outcome: 'dropped' });
      else
        waiting.reject(
          new ProxyError(
            'unavailable',
            'manifest-writer.close',
            'the node stopped before the purge was written',
          ),
        );
    }
    this.#closeDatabase();
    await this.#lock?.[Symbol.asyncDispose]();
    this.#freshness.close();
  }

  async #run(): Promise<void> {
    for (;;) {
      await this.#untilDue();
      if (this.#closeBy !== undefined && (this.#queue.size === 0 || this.#now() > this.#closeBy))
        return;
      try {
        await this.#underLock(() => this.#flush());
        this.#solved();
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  /** Resolves when there is something to do: a group that waited its time, the end of a pause, or the wish to stop. */
  async #untilDue(): Promise<void> {
    const pauseEnd = this.#now() + this.#backoff;
    for (;;) {
      const closing = this.#closeBy !== undefined;
      const pause = Math.max(0, pauseEnd - this.#now());
      const due = this.#suspect || closing ? 0 : this.#queue.dueIn(this.#now());
      // While there is a problem the database is tried now and then though nothing waits, so that healing is seen.
      const wait = this.#problem !== undefined && !closing ? pause : Math.max(pause, due);
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

  async #underLock(work: (lease: HaltLease) => void): Promise<void> {
    this.#lock ??= this.#makeLock();
    const left =
      this.#closeBy === undefined
        ? undefined
        : AbortSignal.timeout(Math.max(1, this.#closeBy - this.#now()));
    await using lease = await this.#lock.acquire({ signal: left });
    this.#count('halt_acquired_total');
    this.#lease = lease;
    work(lease);
  }

  #makeLock(): HaltLock {
    const { lock, path, acquireTimeoutMs } = this.#settings;
    const options = { clock: this.#context.clock, acquireTimeoutMs };
    return lock === 'local' ? localLock(path, options) : noLock(options);
  }

  /** One transaction: a group of changes, a part of a purge, or only a look at the file. Synchronous. */
  #flush(): void {
    const { database, statements } = this.#openDatabase();
    this.#prune(database);
    const group = this.#queue.nextGroup(this.#single > 0 ? 1 : undefined);
    if (!('length' in group)) return this.#flushPurge(database, statements, group);
    if (group.length === 0) return this.#probe(database);
    const responses = database.transaction(
      () =>
        group.map(({ request }) =>
          request.op === 'put' ? statements.put(request) : statements.delete(request),
        ),
      () => this.#beforeCommit(),
    );
    this.#queue.remove(group.length);
    this.#single = Math.max(0, this.#single - group.length);
    this.#count('commits_total');
    group.forEach((change: WaitingChange, index) =>
      change.resolve(responses[index] as ChangeResponse),
    );
  }

  #flushPurge(database: ManifestDatabase, statements: ChangeStatements, purge: WaitingPurge): void {
    purge.progress = database.transaction(
      () => statements.purge(purge.request, purge.progress, PURGE_ROWS),
      () => this.#beforeCommit(),
    );
    this.#count('commits_total');
    const { left, after: _, ...response } = purge.progress;
    if (left.length > 0) return;
    this.#queue.remove(1);
    purge.resolve(response);
  }

  /** Shows whether a database that could not be written can be written again. */
  #probe(database: ManifestDatabase): void {
    if (this.#problem === undefined) return;
    database.transaction(
      () => database.database.prepare('UPDATE namespaces SET next_jid = next_jid').run(),
      () => {},
    );
  }

  #beforeCommit(): void {
    const { commitDelayMs } = this.#context;
    if (commitDelayMs > 0)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, commitDelayMs);
    this.#lease?.assertHeld();
  }

  #prune(database: ManifestDatabase): void {
    if (this.#now() - this.#prunedAt < PRUNE_EVERY_MS || this.#problem !== undefined) return;
    this.#prunedAt = this.#now();
    database.transaction(
      () => pruneJournal(database, this.#context.clock.now()),
      () => this.#beforeCommit(),
    );
  }

  /** The database, opened, migrated and checked; a damaged one is put aside. Only under the lock. */
  #openDatabase(): { readonly database: ManifestDatabase; readonly statements: ChangeStatements } {
    assertWritable(this.#settings.path);
    if (this.#open !== undefined && !this.#open.database.isInPlace()) this.#closeDatabase();
    try {
      if (this.#suspect && this.#open !== undefined) checkDatabase(this.#open.database.database);
      this.#open ??= this.#newDatabase();
    } catch (error) {
      if (!isDamaged(error)) throw error;
      this.#closeDatabase();
      const aside = putAside(this.#settings.path, this.#context.clock.now());
      this.#open = this.#newDatabase();
      this.#context.notify({ type: 'replaced', aside });
    }
    this.#suspect = false;
    return this.#open;
  }

  #newDatabase(): { readonly database: ManifestDatabase; readonly statements: ChangeStatements } {
    const database = new ManifestDatabase(this.#settings.path);
    return { database, statements: new ChangeStatements(database) };
  }

  #closeDatabase(): void {
    this.#open?.database.close();
    this.#open = undefined;
  }

  /** Opens without the lock where nothing has to be written for it, else under the lock if that is soon had. */
  async #firstOpen(): Promise<void> {
    let isCurrent = false;
    try {
      isCurrent = ManifestDatabase.isCurrent(this.#settings.path);
      if (isCurrent) this.#open = this.#newDatabase();
    } catch (error) {
      if (kindOf(error) === 'conflict') throw error;
      isCurrent = false;
      if (!isDamaged(error)) return this.#failed(error);
    }
    if (isCurrent) return;
    let refused: unknown;
    const opened = this.#underLock(() => this.#openDatabase()).then(
      () => this.#solved(),
      (error: unknown) => {
        if (kindOf(error) === 'conflict') refused = error;
        this.#failed(error);
      },
    );
    await Promise.race([opened, this.#context.clock.sleep(OPEN_WAIT_MS)]);
    if (refused !== undefined) throw refused;
    if (this.#open === undefined)
      this.#setProblem('the manifest is not open yet: another process holds its lock');
  }

  #openFreshness(): void {
    try {
      this.#freshness.open();
    } catch (error) {
      // A newer schema is refused; anything else only costs confirmations.
      if (kindOf(error) === 'conflict') throw error;
    }
  }

  #failed(error: unknown): void {
    const code = sqliteCode(error) ?? kindOf(error);
    if (kindOf(error) === 'timeout') this.#count('halt_timeouts_total');
    else if (kindOf(error) === 'aborted') return;
    else this.#count('commit_retries_total', code);
    if (isDamaged(error)) this.#suspect = true;
    // A connection that met one of these may be opened on better terms next time.
    if (/READONLY|IOERR|CANTOPEN|CORRUPT|NOTADB|PROTOCOL/.test(code)) this.#closeDatabase();
    if (isChangeAtFault(error)) this.#dropOrSingle(error);
    this.#backoff =
      Math.min(Math.max(FIRST_BACKOFF_MS, this.#backoff * 2), LAST_BACKOFF_MS) *
      (0.75 + Math.random() / 2);
    this.#setProblem(messageOf(error), code);
  }

  /** A change that no database would take: alone it goes, in a group the group is written one by one. */
  #dropOrSingle(error: unknown): void {
    const group = this.#queue.nextGroup(this.#single > 0 ? 1 : undefined);
    if (!('length' in group)) {
      this.#queue.remove(1);
      return group.reject(error as Error);
    }
    if (group.length > 1) {
      this.#single = group.length;
      return;
    }
    this.#queue.remove(group.length);
    for (const change of group) change.resolve({ outcome: 'dropped' });
  }

  #solved(): void {
    this.#backoff = 0;
    if (this.#problem === undefined) return;
    this.#problem = undefined;
    this.#context.notify({ type: 'problem' });
  }

  #setProblem(text: string, code?: string): void {
    if (this.#problem === text) return;
    this.#problem = text;
    this.#context.notify({ type: 'problem', text, code });
    this.#wake();
  }

  #count(name: CounterName, label = ''): void {
    this.#context.notify({ type: 'count', name, label });
  }

  #now(): number {
    return this.#context.clock.monotonic();
  }
}

/** Whether the change itself is refused: neither the file nor another party is to blame. */
function isChangeAtFault(error: unknown): boolean {
  const code = sqliteCode(error);
  if (code !== undefined) return /CONSTRAINT|MISMATCH|TOOBIG|RANGE/.test(code);
  return error instanceof TypeError || error instanceof RangeError;
}
