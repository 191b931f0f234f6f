import type { Entry, Jid, NewEntry } from './entry.ts';
import { EntryIndex } from './entry-index.ts';
import { pendingEntry } from './entry-row.ts';
import type { Purge, Refresh } from './manifest.ts';
import {
  PendingChanges,
  type PendingDelete,
  type PendingPut,
  withoutVariant,
} from './pending-changes.ts';
import { PurgeMemory } from './purge-memory.ts';
import { takesEntry } from './purge-takes.ts';
import { withVariant } from './variant-limit.ts';

/** What this process knows beside the database: the index, what is pending, and which purges are under way. */
export class EntryMemory {
  readonly index: EntryIndex;
  readonly pending: PendingChanges = new PendingChanges();
  readonly purges: PurgeMemory = new PurgeMemory();

  constructor(indexBytes: number) {
    this.index = new EntryIndex(indexBytes);
  }

  /** Entries of a key as they count now, from what the database says of it. */
  overlay(namespace: string, key: string, stored: readonly Entry[], now: number): readonly Entry[] {
    const visible: Entry[] = [];
    for (const entry of stored) {
      const effect = this.purges.effect(entry);
      if (effect !== 'gone') visible.push(effect === 'stale' ? stale(entry, now) : entry);
    }
    return this.pending.applyTo(namespace, key, visible);
  }

  /** A put counts from now on, beside the variants `known` of its key. */
  put(entry: Entry, changeId: string, baseJid: Jid, known: readonly Entry[]): PendingPut {
    const flags = { purged: false, refreshed: false };
    const change: PendingPut = { op: 'put', changeId, baseJid, entry, ...flags };
    this.pending.add(entry.namespace, entry.key, change);
    this.index.set(entry.namespace, entry.key, withVariant(entry, known));
    return change;
  }

  /** A put is written: its entry has a number now. */
  written(change: PendingPut, jid: Jid, firstSeenAt: number): Entry {
    const { entry } = change;
    const numbered = { ...entry, jid, firstSeenAt };
    this.pending.remove(entry.namespace, entry.key, change);
    this.#replace(entry, numbered);
    return numbered;
  }

  /** A put is known not to be written: what it hid counts again, from the database. */
  undone(change: PendingPut): void {
    const { namespace, key } = change.entry;
    this.pending.remove(namespace, key, change);
    this.index.delete(namespace, key);
  }

  delete(
    namespace: string,
    key: string,
    variant: string | undefined,
    changeId: string,
  ): PendingDelete {
    const change: PendingDelete = { op: 'delete', changeId, variant };
    this.pending.add(namespace, key, change);
    const known = this.index.get(namespace, key);
    if (known !== undefined) this.index.set(namespace, key, withoutVariant(known, variant));
    return change;
  }

  /** An answer that is kept here only. */
  hold(entry: NewEntry, known: readonly Entry[], now: number): void {
    const held = pendingEntry(entry, now);
    this.index.markHeld(held);
    this.index.set(entry.namespace, entry.key, withVariant(held, known));
  }

  /** Gives the entry as it counts now; absent: another took its place meanwhile. */
  refresh(
    entry: Entry,
    { freshUntil, staleAt, policy }: Refresh,
    known: readonly Entry[],
  ): Entry | undefined {
    const current = known.find((other) => isSame(other, entry));
    if (current === undefined) return undefined;
    const refreshed = { ...current, freshUntil, staleAt, policy };
    if (this.index.isHeld(current)) this.index.markHeld(refreshed);
    const put = this.pending.putOf(current);
    if (put !== undefined) put.entry = refreshed;
    this.index.set(
      entry.namespace,
      entry.key,
      known.map((other) => (other === current ? refreshed : other)),
    );
    return refreshed;
  }

  /** The purge takes effect in memory, on what is there and on what comes until `purged`. */
  beginPurge(purge: Purge, now: number): void {
    this.purges.begin(purge);
    for (const put of this.pending.puts()) {
      if (!takesEntry(purge, put.entry)) continue;
      if (purge.soft) put.entry = stale(put.entry, now);
      else put.purged = true;
    }
    this.#forget(purge);
  }

  /** The purge is in the database: whatever was read of it before is read again. */
  endPurge(purge: Purge): void {
    this.purges.end(purge);
    if (purge.soft) this.#forget(purge);
  }

  /** A purge that another process or node wrote is in the database: nothing that began before it counts any more. */
  purged(purge: Purge & { readonly namespace: string }, jid: Jid): void {
    this.purges.note(purge.namespace, purge, jid);
    for (const put of this.pending.puts()) {
      if (put.baseJid < jid && takesEntry(purge, put.entry)) put.purged = true;
    }
    this.#forget(purge);
  }

  #forget(purge: Purge): void {
    if (purge.kind === 'key' && purge.namespace !== undefined) {
      this.index.delete(purge.namespace, purge.value);
      return;
    }
    const slots = purge.kind === 'tag' ? this.index.tagged(purge.value) : this.index.slots();
    for (const { namespace, key, entries } of slots) {
      if (entries.some((entry) => takesEntry(purge, entry))) this.index.delete(namespace, key);
    }
  }

  #replace(old: Entry, next: Entry): void {
    const known = this.index.get(old.namespace, old.key);
    if (known?.includes(old)) {
      this.index.set(
        old.namespace,
        old.key,
        known.map((entry) => (entry === old ? next : entry)),
      );
    }
  }
}

function stale(entry: Entry, now: number): Entry {
  return { ...entry, freshUntil: Math.min(entry.freshUntil, now) };
}

/** Whether two are the same stored answer, of which one may not have had its number yet. */
function isSame(current: Entry, asked: Entry): boolean {
  if (current.variant !== asked.variant) return false;
  if (current.jid !== 0 && asked.jid !== 0) return current.jid === asked.jid;
  return current.storedAt === asked.storedAt && current.digest === asked.digest;
}
