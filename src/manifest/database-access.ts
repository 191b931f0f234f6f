import { isDamaged } from '../sqlite/open-database.ts';
import { ChangeStatements } from './change-statements.ts';
import { assertWritable, checkDatabase, ManifestDatabase, putAside } from './manifest-database.ts';

/** A database open for writing. */
export interface OpenedDatabase {
  readonly database: ManifestDatabase;
  readonly statements: ChangeStatements;
}

/** Opens the writer's database when it can be opened, anew after a failure, and puts a damaged one aside. Synchronous. */
export class DatabaseAccess {
  readonly #path: string;
  readonly #onReplaced: (aside: string) => void;
  #open: OpenedDatabase | undefined;
  #suspect = false;

  /** `onReplaced` is told where a damaged file was put. */
  constructor(path: string, onReplaced: (aside: string) => void) {
    this.#path = path;
    this.#onReplaced = onReplaced;
  }

  get isOpen(): boolean {
    return this.#open !== undefined;
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
    assertWritable(this.#path);
    if (this.#open !== undefined && !this.#open.database.isInPlace()) this.close();
    try {
      if (this.#suspect && this.#open !== undefined) checkDatabase(this.#open.database.database);
      this.#open ??= this.#make();
    } catch (error) {
      if (!isDamaged(error)) throw error;
      this.close();
      const aside = putAside(this.#path, at);
      this.#open = this.#make();
      this.#onReplaced(aside);
    }
    this.#suspect = false;
    return this.#open;
  }

  close(): void {
    this.#open?.database.close();
    this.#open = undefined;
  }

  #make(): OpenedDatabase {
    const database = new ManifestDatabase(this.#path);
    return { database, statements: new ChangeStatements(database) };
  }
}
