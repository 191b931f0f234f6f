import type { Entry, Jid } from './entry.ts';
import { slotName } from './entry-index.ts';

/** A put that counts already though it is not written. */
export interface PendingPut {
  readonly op: 'put';
  readonly changeId: string;
  /** Number of the namespace when its fill began. */
  readonly baseJid: Jid;
  /** As it counts now; a refresh or soft purge replaces it. */
  entry: Entry;
  /** True once a purge took it: it must not count again when its row turns out to be written. */
  purged: boolean;
  /** True: its freshness is to be noted once the entry has its number. */
  refreshed: boolean;
}

/** A delete that counts already though it is not written. */
export interface PendingDelete {
  readonly op: 'delete';
  readonly changeId: string;
  readonly variant: string | undefined;
}

export type PendingChange = PendingPut | PendingDelete;

/** Changes handed in and not yet known to be written, by key; applied over whatever the database says. */
export class PendingChanges {
  readonly #byKey = new Map<string, PendingChange[]>();
  readonly #ids = new Set<string>();
  readonly #digests = new Map<string, number>();

  add(namespace: string, key: string, change: PendingChange): void {
    const name = slotName(namespace, key);
    const list = this.#byKey.get(name);
    if (list === undefined) this.#byKey.set(name, [change]);
    else list.push(change);
    this.#ids.add(change.changeId);
    if (change.op === 'put') this.#countDigest(change.entry.digest, 1);
  }

  remove(namespace: string, key: string, change: PendingChange): void {
    const name = slotName(namespace, key);
    const left = (this.#byKey.get(name) ?? []).filter((other) => other !== change);
    if (left.length === 0) this.#byKey.delete(name);
    else this.#byKey.set(name, left);
    this.#ids.delete(change.changeId);
    if (change.op === 'put') this.#countDigest(change.entry.digest, -1);
  }

  hasChange(changeId: string): boolean {
    return this.#ids.has(changeId);
  }

  /** Whether any change of a key is not written. */
  has(namespace: string, key: string): boolean {
    return this.#byKey.has(slotName(namespace, key));
  }

  /** A put that names the body is about to come, until the function it gives is called. */
  expect(digest: string): () => void {
    this.#countDigest(digest, 1);
    return () => this.#countDigest(digest, -1);
  }

  /** Whether a body is named by a put that is not written, or expected. */
  names(digest: string): boolean {
    return this.#digests.has(digest);
  }

  /** The pending put that an entry stands for. Absent: it is written, or held. */
  putOf(entry: Entry): PendingPut | undefined {
    return this.#of(entry.namespace, entry.key).find(
      (change): change is PendingPut => change.op === 'put' && change.entry === entry,
    );
  }

  /** Every put that counts and is not written. */
  *puts(): Iterable<PendingPut> {
    for (const list of this.#byKey.values()) {
      for (const change of list) if (change.op === 'put' && !change.purged) yield change;
    }
  }

  /** Entries of a key as they are once its pending changes are written; newest first. */
  applyTo(namespace: string, key: string, entries: readonly Entry[]): readonly Entry[] {
    let result = entries;
    for (const change of this.#of(namespace, key)) {
      if (change.op === 'delete') result = withoutVariant(result, change.variant);
      else if (!change.purged)
        result = [change.entry, ...withoutVariant(result, change.entry.variant)];
    }
    return result;
  }

  #of(namespace: string, key: string): readonly PendingChange[] {
    return this.#byKey.get(slotName(namespace, key)) ?? [];
  }

  #countDigest(digest: string, by: 1 | -1): void {
    const count = (this.#digests.get(digest) ?? 0) + by;
    if (count > 0) this.#digests.set(digest, count);
    else this.#digests.delete(digest);
  }
}

/** Without one variant; absent: without any. */
export function withoutVariant(
  entries: readonly Entry[],
  variant: string | undefined,
): readonly Entry[] {
  return variant === undefined ? [] : entries.filter((entry) => entry.variant !== variant);
}
