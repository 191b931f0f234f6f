import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { ChangeListeners } from './change-listeners.ts';
import { ChangeWriter } from './change-writer.ts';
import type { Entry, Jid, NewEntry } from './entry.ts';
import { EntryMemory } from './entry-memory.ts';
import { EntryReads } from './entry-reads.ts';
import { FreshnessNotes } from './freshness-notes.ts';
import { JournalFollower } from './journal-follower.ts';
import { LiteFsWatch } from './litefs-watch.ts';
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
  PurgeListener,
  PurgeResult,
  Refresh,
  SeenOptions,
} from './manifest.ts';
import { assertWritable } from './manifest-database.ts';
import { journalPage, listEntries, seenEntries } from './manifest-pages.ts';
import type { ManifestReader } from './manifest-reader.ts';
import { PrimaryPlace } from './primary-place.ts';
import type { PrimaryService } from './primary-service.ts';
import { ReaderAccess } from './reader-access.ts';
import { WriterClient } from './writer-client.ts';
import type { LiteFsMet, WriterSettings } from './writer-protocol.ts';

/** How often a change made by another process is looked for. */
const FOLLOW_MS = 50;

/** How a manifest is made; `openManifest` fills in the defaults. */
export interface SqliteManifestOptions extends WriterSettings {
  readonly indexBytes: number;
  /** Longest that a purge waits for followers to have it. */
  readonly purgeWaitMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Called when only a restart of LiteFS helps. Absent: that stands in `health()` alone. */
  readonly onWedged?: (() => void) | undefined;
  /** Given up at the end. Absent: there is no copy. */
  readonly mirror?: Disposable | undefined;
}

/** The manifest in one SQLite file: answered from memory, else from a connection that only reads, written by a thread. */
export class SqliteManifest implements Manifest {
  readonly rowsPath: string;
  readonly #options: SqliteManifestOptions;
  readonly #memory: EntryMemory;
  readonly #writer: WriterClient;
  readonly #reader: ReaderAccess;
  readonly #follower: JournalFollower;
  readonly #freshness: FreshnessNotes;
  readonly #listeners = new ChangeListeners();
  readonly #changes: ChangeWriter;
  readonly #reads: EntryReads;
  readonly #place: PrimaryPlace;
  readonly #liteFs: LiteFsWatch | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** Use `openManifest`. */
  constructor(options: SqliteManifestOptions) {
    const { indexBytes: _, mirror: _m, purgeWaitMs, onWedged, ...more } = options;
    const { clock, log, metrics, ...settings } = more;
    const { path, nodeDatabasePath, liteFs, cluster } = settings;
    this.#options = options;
    this.rowsPath = liteFs?.mirrorPath ?? path;
    this.#memory = new EntryMemory(options.indexBytes);
    if (liteFs !== undefined) {
      const watched = { databasePath: path, settings: liteFs, onWedged };
      this.#liteFs = new LiteFsWatch({ ...watched, clock, log, metrics });
    }
    this.#writer = new WriterClient(settings, {
      ...{ clock, log, metrics },
      onReplaced: () => this.#restart(),
      onLiteFs: (met) => this.#hearLiteFs(met),
      onCluster: (state) => this.#place.stateIs(state),
      onApplied: (reset, purges) => this.#place.applied(reset, purges),
    });
    this.#reader = new ReaderAccess({
      path: this.rowsPath,
      nodeDatabasePath,
      isReadable: () => this.isReadable,
      onDamage: () => this.reportDamage(),
    });
    this.#freshness = new FreshnessNotes((rows, expired) => this.#writer.freshness(rows, expired));
    this.#reads = new EntryReads({
      ...{ memory: this.#memory, reader: this.#reader, freshness: this.#freshness, clock },
      trusted: () => this.#place.trusted,
      broken: (read) => this.#changes.removeBroken(read),
    });
    this.#place = new PrimaryPlace({
      ...{ cluster, purgeWaitMs, clock, log, metrics, listeners: this.#listeners },
      ...{ reader: this.#reader, writer: this.#writer, changes: () => this.#changes },
      follow: () => this.#follow(),
      restart: () => this.#restart(),
      purged: ({ namespace, kind, value, jid }) => this.#purged(namespace, kind, value, jid),
    });
    this.#follower = new JournalFollower({
      moved: (namespace) => this.#place.peers.moved(namespace),
      isOwn: (changeId) => this.#memory.pending.hasChange(changeId),
      changed: (namespace, key) => this.#changed(namespace, key),
      purged: (namespace, kind, value, jid) => this.#purged(namespace, kind, value, jid),
      reset: (namespace) => this.#reset(namespace),
    });
    this.#changes = new ChangeWriter({
      memory: this.#memory,
      writer: this.#writer,
      follower: this.#follower,
      listeners: this.#listeners,
      ...{ clock, metrics, log },
      lookup: (namespace, key) => this.#reads.lookup(namespace, key),
      onNumbered: (entry) => this.#noteFreshness(entry),
    });
  }

  /** Opens the database and begins to follow it. Throws `conflict` when its schema is newer than this caje. */
  async open(): Promise<void> {
    await this.#writer.open();
    await this.#liteFs?.untilLevel();
    this.#reader.read((reader) => this.#follower.start(reader));
    this.#timer = setInterval(() => this.#follow(), FOLLOW_MS).unref();
  }

  peek(namespace: string, key: string): readonly Entry[] | undefined {
    return this.#memory.index.get(namespace, key);
  }

  async lookup(namespace: string, key: string): Promise<readonly Entry[]> {
    return this.#reads.lookup(namespace, key);
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
    const current = this.#memory.refresh(entry, refresh, this.#reads.lookup(namespace, key));
    if (current === undefined || this.#memory.index.isHeld(current)) return;
    this.#listeners.tell(namespace, key);
    const put = this.#memory.pending.putOf(current);
    if (put === undefined) this.#noteFreshness(current);
    else put.refreshed = true;
  }

  hold(entry: NewEntry, baseJid?: Jid): void {
    if (this.#memory.purges.refuses(entry, baseJid)) return;
    this.#memory.hold(
      entry,
      this.#reads.lookup(entry.namespace, entry.key),
      this.#options.clock.now(),
    );
    this.#listeners.tell(entry.namespace, entry.key);
  }

  hasNothing(namespace: string, key: string): boolean {
    const { lock, cluster, liteFs } = this.#options;
    const { follows, token, primary, others, guestOf } = cluster;
    const isOne = lock === 'local' || lock === 'none';
    if (!isOne || liteFs !== undefined || follows || guestOf !== undefined) return false;
    if (token !== '' || primary !== '' || others.length > 0) return false;
    return this.#reads.hasNothing(namespace, key);
  }

  async purge(purge: Purge, options: CallOptions = {}): Promise<PurgeResult> {
    const { entries, jids } = await this.#place.purgeInTime(purge, options);
    return { entries, jids };
  }

  async list(options: ListOptions): Promise<EntryPage> {
    return await listEntries(options, this.#reader, (read) => this.#reads.listed(read));
  }

  async seen(options: SeenOptions): Promise<EntryPage> {
    return await seenEntries(options, this.#reader, (read) => this.#reads.listed(read));
  }

  async journal(namespace: string, since: string, limit: number): Promise<JournalPage> {
    return journalPage(this.#reader, namespace, since, limit);
  }

  async isReferenced(...[digest, ...which]: Parameters<ManifestReader['names']>): Promise<boolean> {
    if (this.#memory.pending.names(digest) || this.#memory.index.holdsDigest(digest)) return true;
    // Who cannot read must not say that a body may go.
    return this.#reader.read((reader) => reader.names(digest, ...which)) ?? true;
  }

  expect(digest: string): () => void {
    return this.#memory.pending.expect(digest);
  }

  onChange(listener: ChangeListener): () => void {
    return this.#listeners.add(listener);
  }

  onPurge(listener: PurgeListener): () => void {
    return this.#listeners.addPurge(listener);
  }

  health(): ManifestHealth {
    let problem = this.#liteFs?.problem ?? this.#writer.problem;
    try {
      if (this.#liteFs === undefined) assertWritable(this.#options.path);
    } catch (error) {
      problem ??= messageOf(error);
    }
    return { ...(problem !== undefined && { problem }), pending: this.#writer.pending };
  }

  get isReadable(): boolean {
    return this.#liteFs?.isLevel ?? true;
  }

  /** What other nodes ask, and what this node is among them. */
  get peers(): PrimaryService {
    return this.#place.peers;
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
    this.#place.peers.close();
    await this.#liteFs?.[Symbol.asyncDispose]();
    await this.#freshness.flush();
    // The last connection to close folds the log into the database, and only one that writes can.
    this.#reader.end();
    await this.#writer[Symbol.asyncDispose]();
    this.#options.mirror?.[Symbol.dispose]();
  }

  #noteFreshness(entry: Entry): void {
    const epoch = this.#reader.read((reader) => reader.namespace(entry.namespace)?.epoch);
    if (epoch !== undefined) this.#freshness.note(epoch, entry);
  }

  #follow(): void {
    if (this.#reader.isReplaced()) this.#restart();
    else this.#reader.read((reader) => this.#follower.follow(reader));
  }

  #hearLiteFs(met: LiteFsMet): void {
    this.#liteFs?.hear(met);
    if (met === 'level') this.#restart();
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
    const purge = { kind, value, namespace, soft: false, actor: '' };
    this.#memory.purged(purge, jid);
    this.#listeners.tellOthersPurge(purge);
    this.#listeners.tellPurge(purge);
  }

  #reset(namespace: string): void {
    this.#memory.index.clear();
    this.#listeners.tell(namespace, undefined);
  }
}
