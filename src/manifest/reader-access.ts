import { statSync } from 'node:fs';
import { isDamaged } from '../sqlite/open-database.ts';
import { ManifestReader } from './manifest-reader.ts';

/** A reader that cannot be opened, or met damage, is not tried at every lookup. */
const RETRY_MS = 1000;

/** Where a reader finds its files, and whom it tells of damage. */
export interface ReaderAccessOptions {
  readonly path: string;
  readonly nodeDatabasePath: string;
  readonly onDamage: () => void;
  /** Absent: it may always be read. */
  readonly isReadable?: (() => boolean) | undefined;
}

/** Opens the reader when it can be opened, again after a failure, and anew when the file was replaced. */
export class ReaderAccess {
  readonly #options: ReaderAccessOptions;
  #reader: ManifestReader | undefined;
  #inode = 0;
  #retryAt = 0;

  constructor(options: ReaderAccessOptions) {
    this.#options = options;
  }

  /** What `work` gives; absent: the database cannot be read now. */
  read<Result>(work: (reader: ManifestReader) => Result): Result | undefined {
    try {
      const reader = this.#reader ?? this.#open();
      return reader === undefined ? undefined : work(reader);
    } catch (error) {
      this.close();
      this.#retryAt = performance.now() + RETRY_MS;
      if (isDamaged(error)) this.#options.onDamage();
      return undefined;
    }
  }

  /** Whether another file lies at the path than the one that is open; false where none is open. */
  isReplaced(): boolean {
    return (
      this.#reader !== undefined &&
      statSync(this.#options.path, { throwIfNoEntry: false })?.ino !== this.#inode
    );
  }

  /** Ends the connections; the next read opens them again. */
  close(): void {
    this.#reader?.close();
    this.#reader = undefined;
    this.#retryAt = 0;
  }

  /** Ends the connections for good: from now on nothing can be read. */
  end(): void {
    this.close();
    this.#retryAt = Number.POSITIVE_INFINITY;
  }

  #open(): ManifestReader | undefined {
    if (performance.now() < this.#retryAt || this.#options.isReadable?.() === false)
      return undefined;
    this.#inode = statSync(this.#options.path).ino;
    this.#reader = new ManifestReader(this.#options.path, this.#options.nodeDatabasePath);
    return this.#reader;
  }
}
