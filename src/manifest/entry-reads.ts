import type { Clock } from '../clock.ts';
import type { Entry } from './entry.ts';
import type { EntryMemory } from './entry-memory.ts';
import type { FreshnessNotes } from './freshness-notes.ts';
import type { ReadEntries } from './manifest-reader.ts';
import type { ReaderAccess } from './reader-access.ts';

/** What reading passes through. */
export interface EntryReadsOptions {
  readonly memory: EntryMemory;
  readonly reader: ReaderAccess;
  readonly freshness: FreshnessNotes;
  readonly clock: Clock;
  /** False: rows may be of before a purge that was not heard of yet; nothing is answered from them. */
  readonly trusted: () => boolean;
  /** Rows that failed their checksum were met. */
  readonly broken: (read: ReadEntries) => void;
}

/** Entries as they count now: from memory, else from the database, under what is pending and noted. */
export class EntryReads {
  readonly #options: EntryReadsOptions;

  constructor(options: EntryReadsOptions) {
    this.#options = options;
  }

  /** All variants of a key, newest first. */
  lookup(namespace: string, key: string): readonly Entry[] {
    const { memory, reader, trusted, broken } = this.#options;
    const known = memory.index.get(namespace, key);
    if (known !== undefined) return known;
    const read = trusted() ? reader.read((rows) => rows.lookup(namespace, key)) : undefined;
    if (read !== undefined) broken(read);
    const entries = this.#visible(namespace, key, read?.entries ?? []);
    if (read !== undefined && entries.length > 0) memory.index.set(namespace, key, entries);
    return entries;
  }

  /** True: neither memory nor the database has anything under the key. False also where that cannot be read. */
  hasNothing(namespace: string, key: string): boolean {
    const { memory, reader, trusted } = this.#options;
    if ((memory.index.get(namespace, key) ?? []).length > 0 || !trusted()) return false;
    if (memory.pending.has(namespace, key)) return false;
    const read = reader.read((rows) => rows.lookup(namespace, key));
    return read !== undefined && read.entries.length === 0 && read.broken.length === 0;
  }

  /** Entries of a page, each in the place of its row. */
  listed(read: ReadEntries): Entry[] {
    this.#options.broken(read);
    return read.entries.flatMap((stored) => {
      const visible = this.#visible(stored.namespace, stored.key, [stored]);
      const own = visible.find(({ variant }) => variant === stored.variant);
      return own ? [{ ...own, firstSeenAt: stored.firstSeenAt }] : [];
    });
  }

  #visible(namespace: string, key: string, stored: readonly Entry[]): readonly Entry[] {
    const { memory, freshness, clock } = this.#options;
    const noted = stored.map((entry) => freshness.applyTo(entry));
    return memory.overlay(namespace, key, noted, clock.now());
  }
}
