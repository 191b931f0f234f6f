import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { ChangeListeners } from './change-listeners.ts';
import { ChangeWriter } from './change-writer.ts';
import type { Entry, Jid, NewEntry } from './entry.ts';
import { EntryMemory } from './entry-memory.ts';
import { FreshnessNotes } from './freshness-notes.ts';
import { JournalFollower } from './journal-follower.ts';
import type {
  Change,
  ChangeListener,
  CommitResult,
  EntryPage,
  JournalPage,
  ListOptions,
  Manifest,
  ManifestHealth,
  Purge,
  PurgeKind,
  PurgeResult,
  Refresh,
  SeenOptions,
} from './manifest.ts';
import { assertWritable } from './manifest-database.ts';
import { journalPage, listEntries, seenEntries } from './manifest-pages.ts';
import type { ReadEntries } from './manifest-reader.ts';
import { ReaderAccess } from './reader-access.ts';
import { WriterClient } from './writer-client.ts';
import type { WriterSettings } from './writer-protocol.ts';

/** How often a change made by another process is looked for. */
const FOLLOW_MS = 50;
const PURGE_TIMEOUT_MS = 10_000;

/** How a manifest is made; `openManifest` fills in the defaults. */
export interface SqliteManifestOptions extends WriterSettings {
  readonly indexBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** The manifest in one SQLite file: answered from memory, else from a connection that only reads, written by a thread. */
export class SqliteManifest implements Manifest {
  readonly #options: SqliteManifestOptions;
  readonly #memory: EntryMemory;
  readonly #writer: WriterClient;
  readonly #reader: ReaderAccess;
  readonly #follower: JournalFollower;
  readonly #freshness: FreshnessNotes;
  readonly #listeners = new ChangeListeners();
  readonly #changes: ChangeWriter;
  #timer: NodeJS.Timeout | undefined;

  /** Use `openManifest`. */
  constructor(options: SqliteManifestOptions) {
    const { path, nodeDatabasePath, lock, acquireTimeoutMs, clock, log, metrics } = options;
    this.#options = options;
    this.#memory = new EntryMemory(options.indexBytes);
    this.#writer = new WriterClient(
      { path, nodeDatabasePath, lock, acquireTimeoutMs },
      { clock, log, metrics, onReplaced: () => this.#restart() },
    );
    this.#reader = new ReaderAccess({
      path,
      nodeDatabasePath,
      onDamage: () => this.reportDamage(),
    });
    this.#freshness = new FreshnessNotes((rows, expired) => this.#writer.freshness(rows, expired));
    this.#follower = new JournalFollower({
      isOwn: (changeId) => this.#memory.pending.has(changeId),
      changed: (namespace, key) => this.#changed(namespace, key),
      purged: (namespace, kind, value, jid) => this.#purged(namespace, kind, value, jid),
      reset: (namespace) => this.#reset(namespace),
    });
    this.#changes = new ChangeWriter({
      memory: this.#memory,
      writer: this.#writer,
      follower: this.#follower,
      listeners: this.#listeners,
      clock,
      metrics,
      lookup: (namespace, key) => this.#lookup(namespace, key),
      onNumbered: (entry) => this.#noteFreshness(entry),
    });
  }

  /** Opens the database and begins to follow it. Throws `conflict` when its schema is newer than this caje. */
  async open(): Promise<void> {
    await this.#writer.open();
    this.#reader.read((reader) => this.#follower.start(reader));
    this.#timer = setInterval(() => this.#follow(), FOLLOW_MS).unref();
  }

  peek(namespace: string, key: string): readonly Entry[] | undefined {
    return this.#memory.index.get(namespace, key);
  }

  async lookup(namespace: string, key: string): Promise<readonly Entry[]> {
    return this.#lookup(namespace, key);
  }

  position(namespace: string): Jid {
    this.#listeners.know(namespace);
    return this.#follower.position(namespace);
  }

  async commit(changes: readonly Change[]): Promise<readonly CommitResult[]> {
    return await Promise.all(
      changes.map((change) =>
        change.op === 'put' ? this.#changes.put(change) : this.#changes.delete(change),
      ),
    );
  }

  refresh(entry: Entry, refresh: Refresh): void {
    const { namespace, key } = entry;
    const current = this.#memory.refresh(entry, refresh, this.#lookup(namespace, key));
    if (current === undefined || this.#memory.index.isHeld(current)) return;
    this.#listeners.tell(namespace, key);
    const put = this.#memory.pending.putOf(current);
    if (put === undefined) this.#noteFreshness(current);
    else put.refreshed = true;
  }

  hold(entry: NewEntry, baseJid?: Jid): void {
    if (this.#memory.purges.refuses(entry.namespace, entry.key, entry.rule, baseJid)) return;
    this.#memory.hold(entry, this.#lookup(entry.namespace, entry.key), this.#options.clock.now());
    this.#listeners.tell(entry.namespace, entry.key);
  }

  async purge(purge: Purge, options: CallOptions = {}): Promise<PurgeResult> {
    const written = this.#changes.purge(purge);
    const late = AbortSignal.timeout(PURGE_TIMEOUT_MS);
    const response = await orGivenUp(
      written,
      AbortSignal.any([late, ...(options.signal ? [options.signal] : [])]),
    );
    if (response === undefined) {
      throw new ProxyError(
        'unavailable',
        'sqlite-manifest.purge',
        'the node stopped before the purge was written',
      );
    }
    return { entries: response.entries, jids: response.jids };
  }

  async list(options: ListOptions): Promise<EntryPage> {
    return await listEntries(options, this.#reader, (read) => this.#listed(read));
  }

  async seen(options: SeenOptions): Promise<EntryPage> {
    return await seenEntries(options, this.#reader, (read) => this.#listed(read));
  }

  async journal(namespace: string, since: string, limit: number): Promise<JournalPage> {
    return journalPage(this.#reader, namespace, since, limit);
  }

  async isReferenced(digest: string, rules?: ReadonlySet<string>): Promise<boolean> {
    if (this.#memory.pending.names(digest) || this.#memory.index.holdsDigest(digest)) return true;
    // Who cannot read must not say that a body may go.
    return this.#reader.read((reader) => reader.names(digest, rules)) ?? true;
  }

  expect(digest: string): () => void {
    return this.#memory.pending.expect(digest);
  }

  onChange(listener: ChangeListener): () => void {
    return this.#listeners.add(listener);
  }

  health(): ManifestHealth {
    let problem = this.#writer.problem;
    try {
      assertWritable(this.#options.path);
    } catch (error) {
      problem ??= messageOf(error);
    }
    return { ...(problem !== undefined && { problem }), pending: this.#writer.pending };
  }

  /** Estimated bytes of the entries in memory. */
  get indexBytes(): number {
    return this.#memory.index.bytes;
  }

  /** Has the database checked, and put aside if it is damaged. */
  reportDamage(): void {
    this.#writer.reportDamage();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#freshness.flush();
    // The last connection to close folds the log into the database, and only one that writes can.
    this.#reader.end();
    await this.#writer[Symbol.asyncDispose]();
  }

  #lookup(namespace: string, key: string): readonly Entry[] {
    const known = this.#memory.index.get(namespace, key);
    if (known !== undefined) return known;
    const read = this.#reader.read((reader) => reader.lookup(namespace, key));
    if (read !== undefined) this.#deleteBroken(read);
    const entries = this.#visible(namespace, key, read?.entries ?? []);
    if (read !== undefined && entries.length > 0) this.#memory.index.set(namespace, key, entries);
    return entries;
  }

  #visible(namespace: string, key: string, stored: readonly Entry[]): readonly Entry[] {
    const noted = stored.map((entry) => this.#freshness.applyTo(entry));
    return this.#memory.overlay(namespace, key, noted, this.#options.clock.now());
  }

  /** Entries of a page as they count now, each in the place of its row. */
  #listed(read: ReadEntries): Entry[] {
    this.#deleteBroken(read);
    return read.entries.flatMap((stored) => {
      const visible = this.#visible(stored.namespace, stored.key, [stored]);
      const own = visible.find(({ variant }) => variant === stored.variant);
      return own ? [{ ...own, firstSeenAt: stored.firstSeenAt }] : [];
    });
  }

  #noteFreshness({ namespace, key, variant, jid, freshUntil, staleAt, policy }: Entry): void {
    const epoch = this.#reader.read((reader) => reader.namespace(namespace)?.epoch);
    if (epoch === undefined) return;
    this.#freshness.note(namespace, {
      epoch,
      key,
      variant,
      jid,
      freshUntil,
      staleAt,
      policy: JSON.stringify(policy),
    });
  }

  #deleteBroken({ broken, namespace }: ReadEntries): void {
    for (const { key, variant } of broken) {
      this.#options.metrics.count('corrupt_rows_total');
      this.#options.log.warn(
        { namespace, key },
        'a row of the manifest failed its checksum and is removed',
      );
      void this.#changes.removeBroken(namespace, key, variant);
    }
  }

  #follow(): void {
    if (this.#reader.isReplaced()) this.#restart();
    else this.#reader.read((reader) => this.#follower.follow(reader));
  }

  #restart(): void {
    this.#reader.close();
    for (const namespace of this.#follower.restart()) this.#reset(namespace);
    this.#reader.read((reader) => this.#follower.start(reader));
  }

  #changed(namespace: string, key: string): void {
    this.#memory.index.delete(namespace, key);
    this.#listeners.tell(namespace, key);
  }

  #purged(namespace: string, kind: PurgeKind, value: string, jid: Jid): void {
    this.#memory.purges.note(namespace, { kind, value }, jid);
    this.#listeners.tellPurge({ kind, value, namespace });
  }

  #reset(namespace: string): void {
    this.#memory.index.clear();
    this.#listeners.tell(namespace, undefined);
  }
}

/** The promise, or `timeout` or `aborted` as the signal says; the work behind it goes on. */
async function orGivenUp<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return await new Promise<Result>((resolve, reject) => {
    const giveUp = (): void => {
      const kind = (signal.reason as Error).name === 'TimeoutError' ? 'timeout' : 'aborted';
      reject(
        new ProxyError(
          kind,
          'sqlite-manifest.purge',
          'the purge is in force here and not written yet; it stays in the queue',
        ),
      );
    };
    if (signal.aborted) return giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}
