import type { Entry, Jid } from './entry.ts';
import { readTags } from './entry-tags.ts';
import type { Purge } from './manifest.ts';
import { takesEntry } from './purge-takes.ts';

/** Exact keys and tags remembered, each; beyond it everything that began before the oldest of them is refused. */
const MAX_KEYS = 100_000;
/** Prefixes, rules and whole namespaces remembered, likewise. */
const MAX_PATTERNS = 1000;

/** What of a purge decides which entries it takes. */
type Pattern = Pick<Purge, 'kind' | 'value'>;
/** What of an entry decides which purges take it. */
type Taken = Pick<Entry, 'namespace' | 'key' | 'rule' | 'headers'>;

/**
 * The purges that matter to fills of this process: those not yet written, which hide what they take, and those
 * written, whose numbers decide whether a fill began before them.
 */
export class PurgeMemory {
  readonly #active = new Set<Purge>();
  readonly #keys = new Map<string, Jid>();
  readonly #tags = new Map<string, Jid>();
  readonly #patterns = new Map<
    string,
    { readonly pattern: Pattern; readonly namespace: string; readonly jid: Jid }
  >();
  /** Per namespace: what began before this number is refused, whatever its key. */
  readonly #floors = new Map<string, Jid>();

  /** From now on the purge hides what it takes. */
  begin(purge: Purge): void {
    this.#active.add(purge);
  }

  /** The purge is written, or was given up. */
  end(purge: Purge): void {
    this.#active.delete(purge);
  }

  /** Notes a written purge of one namespace. */
  note(namespace: string, { kind, value }: Pattern, jid: Jid): void {
    if (kind === 'key' || kind === 'tag') {
      const names = kind === 'key' ? this.#keys : this.#tags;
      const name = `${namespace}\0${value}`;
      names.delete(name);
      names.set(name, jid);
      if (names.size > MAX_KEYS) this.#forgetOldest(names);
      return;
    }
    const name = `${namespace}\0${kind}\0${value}`;
    this.#patterns.delete(name);
    this.#patterns.set(name, { pattern: { kind, value }, namespace, jid });
    if (this.#patterns.size > MAX_PATTERNS) this.#forgetPattern();
  }

  /** Whether something fetched since `baseJid` must not be kept. `baseJid` absent: only purges not yet written are asked. */
  refuses(entry: Taken, baseJid: Jid = Number.MAX_SAFE_INTEGER): boolean {
    const { namespace, key } = entry;
    for (const purge of this.#active) if (takesEntry(purge, entry)) return true;
    if (baseJid < (this.#floors.get(namespace) ?? 0)) return true;
    if (baseJid < (this.#keys.get(`${namespace}\0${key}`) ?? 0)) return true;
    if (this.#tags.size > 0) {
      for (const tag of readTags(entry.headers).tags)
        if (baseJid < (this.#tags.get(`${namespace}\0${tag}`) ?? 0)) return true;
    }
    for (const { namespace: purged, jid, pattern } of this.#patterns.values())
      if (purged === namespace && baseJid < jid && takesEntry(pattern, entry)) return true;
    return false;
  }

  /** What a purge not yet written makes of a stored entry. */
  effect(entry: Taken): 'none' | 'stale' | 'gone' {
    let effect: 'none' | 'stale' = 'none';
    for (const purge of this.#active) {
      if (!takesEntry(purge, entry)) continue;
      if (!purge.soft) return 'gone';
      effect = 'stale';
    }
    return effect;
  }

  #forgetOldest(names: Map<string, Jid>): void {
    for (const [name, jid] of names) {
      this.#raiseFloor(name.slice(0, name.indexOf('\0')), jid);
      names.delete(name);
      return;
    }
  }

  #forgetPattern(): void {
    for (const [name, { namespace, jid }] of this.#patterns) {
      this.#raiseFloor(namespace, jid);
      this.#patterns.delete(name);
      return;
    }
  }

  #raiseFloor(namespace: string, jid: Jid): void {
    this.#floors.set(namespace, Math.max(this.#floors.get(namespace) ?? 0, jid));
  }
}
