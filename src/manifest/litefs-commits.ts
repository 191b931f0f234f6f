import { readFileSync } from 'node:fs';
import { codeOf, kindOf } from '../errors.ts';
import type { CounterName } from '../metrics.ts';
import { sqliteCode } from '../sqlite/open-database.ts';
import { type Collected, LiteFsMirror } from './litefs-mirror.ts';
import type { ManifestDatabase } from './manifest-database.ts';

/** What writing on a LiteFS needs of the writer around it. */
export interface LiteFsCommitsOptions {
  readonly databasePath: string;
  readonly mirrorPath: string;
  /** Time of `process.hrtime` at which the COMMIT that runs began, 0 while none does: 8 bytes that another thread reads. */
  readonly watch: SharedArrayBuffer;
  readonly count: (name: CounterName, label: string) => void;
  /** The database, if it is open. */
  readonly database: () => ManifestDatabase | undefined;
  /** Ends the connection to a database whose LiteFS is gone. */
  readonly closeDatabase: () => void;
  /** Called once the mirror has all that the database had when this process began. */
  readonly onLevel: () => void;
  /** Called when something was copied. */
  readonly onCopied: () => void;
}

const FOLLOW_MS = 50;
/** Rounds of copying in one go; between two of them others get their turn. */
const ROUNDS = 8;
/** Waits for a lock on the database: to read, and to write under HALT. */
const READ_BUSY_MS = 250;
const WRITE_BUSY_MS = 1000;

/**
 * Transactions of the writer on a LiteFS: watched while they commit, and copied to the mirror before anybody is told of
 * them. Between them the mirror follows what other nodes wrote. Belongs to the writer thread.
 */
export class LiteFsCommits implements Disposable {
  readonly #options: LiteFsCommitsOptions;
  readonly #watch: BigInt64Array;
  readonly #timer: NodeJS.Timeout;
  #mirror: LiteFsMirror | undefined;
  #position: string | undefined;
  #wasLevel = false;
  /** True while HALT is asked for or held: reading then can lock LiteFS up. */
  isHalted = false;

  constructor(options: LiteFsCommitsOptions) {
    this.#options = options;
    this.#watch = new BigInt64Array(options.watch);
    this.#timer = setInterval(() => this.follow(), FOLLOW_MS);
  }

  /** One transaction, with `beforeCommit` right before its COMMIT. Throws what they and SQLite throw. */
  run<Result>(database: ManifestDatabase, work: () => Result, beforeCommit: () => void): Result {
    let collected: Collected | undefined;
    database.database.pragma(`busy_timeout = ${WRITE_BUSY_MS}`);
    try {
      const result = database.transaction(work, () => {
        collected = this.#tryMirror(() => this.#opened().collect(database.database));
        beforeCommit();
        Atomics.store(this.#watch, 0, process.hrtime.bigint());
      });
      const written = collected;
      if (written !== undefined) this.#tryMirror(() => this.#apply(this.#opened(), written));
      return result;
    } catch (error) {
      if (kindOf(error) === 'conflict') this.#options.count('halt_lost_total', 'lease');
      const code = sqliteCode(error) ?? '';
      if (code.startsWith('SQLITE_READONLY')) this.#options.count('halt_lost_total', 'readonly');
      if (code === 'SQLITE_IOERR_WRITE') this.#options.count('halt_lost_total', 'write');
      throw error;
    } finally {
      Atomics.store(this.#watch, 0, 0n);
    }
  }

  /** Brings the mirror nearer to the database, unless HALT is asked for or held. Never throws. */
  follow(): void {
    if (this.isHalted) return;
    const position = this.#readPosition();
    const database = this.#options.database();
    if (position === undefined || database === undefined) return;
    if (position === this.#position) return;
    this.#tryMirror(() => {
      database.database.pragma(`busy_timeout = ${READ_BUSY_MS}`);
      for (let round = 0; round < ROUNDS; round++) {
        const mirror = this.#opened();
        const collected = database.database.transaction(() => mirror.collect(database.database))();
        this.#apply(mirror, collected);
        if (!collected.isLevel) continue;
        this.#position = position;
        if (!this.#wasLevel) this.#options.onLevel();
        this.#wasLevel = true;
        return;
      }
    });
  }

  /** Numbers by namespace up to which the mirror has everything. */
  positions(): ReadonlyMap<string, number> {
    return this.#mirror?.positions() ?? new Map();
  }

  /** Whether the mirror has the change under this number. */
  has(namespace: string, jid: number, changeId: string): boolean {
    return this.#tryMirror(() => this.#opened().has(namespace, jid, changeId)) ?? false;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#mirror?.[Symbol.dispose]();
  }

  #apply(mirror: LiteFsMirror, collected: Collected): void {
    mirror.apply(collected);
    this.#options.onCopied();
  }

  #opened(): LiteFsMirror {
    this.#mirror ??= new LiteFsMirror(this.#options.mirrorPath);
    return this.#mirror;
  }

  /** The mirror is no source of truth: what cannot be copied now is copied later. */
  #tryMirror<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch {
      this.#position = undefined;
      return undefined;
    }
  }

  #readPosition(): string | undefined {
    try {
      return readFileSync(`${this.#options.databasePath}-pos`, 'latin1');
    } catch (error) {
      // A mount that died stays until nobody has anything open there.
      if (codeOf(error) !== 'ENOENT') this.#options.closeDatabase();
      this.#position = undefined;
      return undefined;
    }
  }
}
