import { LRUCache } from 'lru-cache';
import type { HeaderList } from '../headers.ts';
import type { Entry } from './entry.ts';
import { readTags } from './entry-tags.ts';

/** All that is known of one key: every variant, newest first. */
interface Slot {
  readonly namespace: string;
  readonly key: string;
  readonly entries: readonly Entry[];
}

// Estimates of what V8 needs for an entry, a field line and a character.
const SLOT_BYTES = 300;
const ENTRY_BYTES = 700;
const LINE_BYTES = 90;
const TAG_BYTES = 150;

/** Entries in memory by key, bounded by an estimate of their bytes; the ones unused longest go first. */
export class EntryIndex {
  readonly #slots: LRUCache<string, Slot>;
  /** Entries that are nowhere but here. */
  readonly #held = new WeakSet<Entry>();
  readonly #heldDigests = new Map<string, number>();
  /** Names of slots by tag of their entries. */
  readonly #byTag = new Map<string, Set<string>>();

  constructor(maxBytes: number) {
    this.#slots = new LRUCache<string, Slot>({
      maxSize: maxBytes,
      sizeCalculation: sizeOf,
      dispose: (slot) => {
        this.#countHeld(slot, -1);
        this.#untag(slot);
      },
    });
  }

  /** Estimated bytes in use. */
  get bytes(): number {
    return this.#slots.calculatedSize;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** Absent: nothing is known of the key here. */
  get(namespace: string, key: string): readonly Entry[] | undefined {
    return this.#slots.get(slotName(namespace, key))?.entries;
  }

  /** Replaces what is known of a key. */
  set(namespace: string, key: string, entries: readonly Entry[]): void {
    const slot = { namespace, key, entries };
    this.#countHeld(slot, 1);
    const name = slotName(namespace, key);
    this.#slots.set(name, slot);
    // Too large to be kept at all: the cache drops it without telling.
    if (!this.#slots.has(name)) this.#countHeld(slot, -1);
    else this.#tag(name, entries);
  }

  delete(namespace: string, key: string): void {
    this.#slots.delete(slotName(namespace, key));
  }

  clear(): void {
    this.#slots.clear();
  }

  /** Marks an entry as one that no database knows. */
  markHeld(entry: Entry): void {
    this.#held.add(entry);
  }

  isHeld(entry: Entry): boolean {
    return this.#held.has(entry);
  }

  /** Whether a held entry names this body. */
  holdsDigest(digest: string): boolean {
    return this.#heldDigests.has(digest);
  }

  /** Everything known, in no order that matters; the index may be changed meanwhile. */
  slots(): Slot[] {
    return [...this.#slots.values()];
  }

  /** What is known of keys of which an entry has the tag; the index may be changed meanwhile. */
  tagged(tag: string): Slot[] {
    return [...(this.#byTag.get(tag) ?? [])].flatMap((name) => this.#slots.peek(name) ?? []);
  }

  #tag(name: string, entries: readonly Entry[]): void {
    for (const { headers } of entries) {
      for (const tag of readTags(headers).tags) {
        const names = this.#byTag.get(tag);
        if (names) names.add(name);
        else this.#byTag.set(tag, new Set([name]));
      }
    }
  }

  #untag({ namespace, key, entries }: Slot): void {
    for (const { headers } of entries) {
      for (const tag of readTags(headers).tags) {
        const names = this.#byTag.get(tag);
        names?.delete(slotName(namespace, key));
        if (names?.size === 0) this.#byTag.delete(tag);
      }
    }
  }

  #countHeld({ entries }: Slot, by: 1 | -1): void {
    for (const entry of entries) {
      if (!this.#held.has(entry)) continue;
      const count = (this.#heldDigests.get(entry.digest) ?? 0) + by;
      if (count > 0) this.#heldDigests.set(entry.digest, count);
      else this.#heldDigests.delete(entry.digest);
    }
  }
}

/** One string for a key in its namespace; names of namespaces hold no NUL. */
export function slotName(namespace: string, key: string): string {
  return `${namespace}\0${key}`;
}

/** Bytes that an entry takes in memory and, nearly, on its way to the database. */
export function entryBytes(entry: Entry | Omit<Entry, 'jid' | 'firstSeenAt' | 'storedAt'>): number {
  return (
    ENTRY_BYTES +
    entry.key.length +
    entry.url.length +
    linesBytes(entry.headers) +
    linesBytes(entry.requestHeaders) +
    TAG_BYTES * readTags(entry.headers).tags.size
  );
}

function linesBytes({ lines }: HeaderList): number {
  let bytes = 0;
  for (const [name, value] of lines) bytes += LINE_BYTES + name.length + value.length;
  return bytes;
}

function sizeOf({ key, entries }: Slot): number {
  let bytes = SLOT_BYTES + 2 * key.length;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes;
}
