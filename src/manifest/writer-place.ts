import type { Clock } from '../clock.ts';
import type { CounterName } from '../metrics.ts';
import { openDatabase } from '../sqlite/open-database.ts';
import type { Notify } from '../sqlite/serve-writer.ts';
import { DatabaseAccess } from './database-access.ts';
import type { HaltLock } from './halt-lock.ts';
import { LiteFsCommits } from './litefs-commits.ts';
import { liteFsLock } from './litefs-lock.ts';
import type { ManifestDatabase } from './manifest-database.ts';
import { writerLock } from './writer-lock.ts';
import type { LiteFsSettings, WriterEvent, WriterSettings } from './writer-protocol.ts';

/** What the place tells of and goes by. */
export interface WriterPlaceContext {
  readonly clock: Clock;
  readonly notify: Notify<WriterEvent>;
}

/** Where the writer writes: the database, the lock before it, and what goes with a transaction there. */
export class WriterPlace {
  readonly database: DatabaseAccess;
  /** Called on LiteFS when rows, of whichever node, came into the copy that is read. */
  onCopied: () => void = () => {};
  readonly #settings: WriterSettings;
  readonly #context: WriterPlaceContext;
  readonly #commits: LiteFsCommits | undefined;
  #lock: HaltLock | undefined;

  constructor(settings: WriterSettings, context: WriterPlaceContext) {
    this.#settings = settings;
    this.#context = context;
    const { path, journal, liteFs } = settings;
    this.database = new DatabaseAccess({
      path,
      journal,
      onLiteFs: liteFs !== undefined,
      onReplaced: (aside) => context.notify({ type: 'replaced', aside }),
    });
    this.#commits = liteFs && this.#liteFsCommits(liteFs);
  }

  /** Made when it is first asked for. Throws where there is no such lock. */
  get lock(): HaltLock {
    this.#lock ??= this.#makeLock();
    return this.#lock;
  }

  /** One transaction, with `beforeCommit` right before its end. */
  transaction<Result>(
    database: ManifestDatabase,
    work: () => Result,
    beforeCommit: () => void,
  ): Result {
    if (this.#commits !== undefined) return this.#commits.run(database, work, beforeCommit);
    return database.transaction(work, beforeCommit);
  }

  /** Numbers by namespace up to which rows are in the copy that is read. Absent: the database itself is read. */
  copied(): ReadonlyMap<string, number> | undefined {
    return this.#commits?.positions();
  }

  /** Whether what is read has the change under this number. */
  hasCopied(namespace: string, jid: number, changeId: string): boolean {
    return this.#commits?.has(namespace, jid, changeId) ?? true;
  }

  /** What can be read now is brought to the request side. */
  follow(): void {
    this.#commits?.follow();
  }

  /** The database first, then the lock: LiteFS cannot end while either is open. */
  async close(): Promise<void> {
    this.#commits?.[Symbol.dispose]();
    this.database.close();
    await this.#lock?.[Symbol.asyncDispose]();
  }

  #makeLock(): HaltLock {
    const { path, acquireTimeoutMs, liteFs } = this.#settings;
    const { clock } = this.#context;
    if (liteFs === undefined) return writerLock(this.#settings, clock);
    return liteFsLock(path, {
      ...{ clock, acquireTimeoutMs, addresses: liteFs.addresses, command: liteFs.helper },
      count: this.#count,
      introduce: () => openDatabase(path, { journal: 'delete' }).close(),
      onRefused: () => {
        if (!this.#canRead()) this.#context.notify({ type: 'litefs', met: 'refused' });
      },
      onTurn: (isHalted) => {
        if (this.#commits !== undefined) this.#commits.isHalted = isHalted;
      },
    });
  }

  #liteFsCommits({ mirrorPath, watch }: LiteFsSettings): LiteFsCommits {
    return new LiteFsCommits({
      ...{ databasePath: this.#settings.path, mirrorPath, watch },
      count: this.#count,
      database: () => this.database.opened?.database,
      closeDatabase: () => this.database.close(),
      onLevel: () => this.#context.notify({ type: 'litefs', met: 'level' }),
      onCopied: () => this.onCopied(),
    });
  }

  #canRead(): boolean {
    try {
      const database = this.database.opened?.database.database;
      return database?.prepare('SELECT 1 FROM namespaces LIMIT 1').all() !== undefined;
    } catch {
      return false;
    }
  }

  readonly #count = (name: CounterName, label: string): void =>
    this.#context.notify({ type: 'count', name, label });
}
