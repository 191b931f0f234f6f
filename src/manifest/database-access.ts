import { liteFsMount } from '@caje/litefs';
import { messageOf, ProxyError } from '../errors.ts';
import { isDamaged } from '../sqlite/open-database.ts';
import { ChangeStatements } from './change-statements.ts';
import { assertWritable, checkDatabase, ManifestDatabase, putAside } from './manifest-database.ts';

/** A database open for writing. */
export interface OpenedDatabase {
  readonly database: ManifestDatabase;
  readonly statements: ChangeStatements;
}

/** How the writer's database is opened. */
export interface DatabaseAccessOptions {
  readonly path: string;
  /** Told where a damaged file was put. */
  readonly onReplaced: (aside: string) => void;
  readonly journal?: 'wal' | 'delete' | undefined;
  /** True: it must lie on a mounted LiteFS, where nothing is put aside. Absent: it may lie anywhere. */
  readonly onLiteFs?: boolean | undefined;
}

/** Opens the writer's database when it can be opened, anew after a failure, and puts a damaged one aside. Synchronous. */
export class DatabaseAccess {
  readonly #options: DatabaseAccessOptions;
  readonly #path: string;
  #open: OpenedDatabase | undefined;
  #suspect = false;

  constructor(options: DatabaseAccessOptions) {
    this.#options = options;
    this.#path = options.path;
  }

  get isOpen(): boolean {
    return this.#open !== undefined;
  }

  /** As it is now. Absent: it is not open. */
  get opened(): OpenedDatabase | undefined {
    return this.#open;
  }

  /** Whether the file is to be looked at before it is used again. */
  get isSuspect(): boolean {
    return this.#suspect;
  }

  /** Somebody met damage: the next `get` checks the file. */
  suspect(): void {
    this.#suspect = true;
  }

  /** Opens where nothing has to be written for it, so that no lock is needed. False: it was not; under the lock `get` may help. Throws what opening throws, but for damage. */
  openWithoutLock(): boolean {
    try {
      this.#assertMounted();
      if (!ManifestDatabase.isCurrent(this.#path)) return false;
      this.#open = this.#make();
      return true;
    } catch (error) {
      if (isDamaged(error)) return false;
      throw error;
    }
  }

  /** The database, opened, migrated and checked; a damaged one is put aside. Only under the lock. */
  get(at: number): OpenedDatabase {
    this.#assertMounted();
    // What LiteFS says of its files is right without HALT alone.
    if (this.#options.onLiteFs !== true) assertWritable(this.#path);
    if (this.#open !== undefined && !this.#open.database.isInPlace()) this.close();
    try {
      if (this.#suspect && this.#open !== undefined) checkDatabase(this.#open.database.database);
      this.#open ??= this.#make();
    } catch (error) {
      if (!isDamaged(error) || this.#options.onLiteFs === true) throw error;
      this.close();
      const aside = putAside(this.#path, at);
      this.#open = this.#make();
      this.#options.onReplaced(aside);
    }
    this.#suspect = false;
    return this.#open;
  }

  close(): void {
    this.#open?.database.close();
    this.#open = undefined;
  }

  #make(): OpenedDatabase {
    const database = this.#connect();
    return { database, statements: new ChangeStatements(database) };
  }

  #connect(): ManifestDatabase {
    const { onLiteFs = false, journal } = this.#options;
    try {
      return new ManifestDatabase(this.#path, { journal, checked: !onLiteFs });
    } catch (error) {
      // So the library says that the folder is not there, which a mount that died is not.
      if (onLiteFs && error instanceof TypeError) throw unmounted(messageOf(error));
      throw error;
    }
  }

  /** In the empty folder below a mount that is not there, a database would be made that nobody knows of. */
  #assertMounted(): void {
    if (this.#options.onLiteFs === true && liteFsMount(this.#path) === undefined)
      throw unmounted(`${this.#path} lies on no mounted LiteFS`);
  }
}

function unmounted(message: string): ProxyError {
  return new ProxyError('unavailable', 'database-access.open', message);
}
