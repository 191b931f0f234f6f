import { takes } from './commit-queue.ts';
import type { Jid } from './entry.ts';
import type { Purge } from './manifest.ts';

/** Exact keys remembered; beyond it everything that began before the oldest of them is refused. */
const MAX_KEYS = 100_000;
/** Prefixes, rules and whole namespaces remembered, likewise. */
const MAX_PATTERNS = 1000;

/** What of a purge decides which entries it takes. */
type Pattern = Pick<Purge, 'kind' | 'value'>;

/**
 * The purges that matter to fills of this process: those not yet written, which hide what they take, and those
 * written, whose numbers decide whether a fill began before them.
 */
export class PurgeMemory {
  readonly #active = new Set<Purge>();
  readonly #keys = new Map<string, Jid>();
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
    if (kind === 'key') {
      const name = `${namespace}\0${value}`;
      this.#keys.delete(name);
      this.#keys.set(name, jid);
      if (this.#keys.size > MAX_KEYS) this.#forgetKey();
      return;
    }
    const name = `${namespace}\0${kind}\0${value}`;
    this.#patterns.delete(name);
    this.#patterns.set(name, { pattern: { kind, value }, namespace, jid });
    if (this.#patterns.size > MAX_PATTERNS) this.#forgetPattern();
  }

  /** Whether something fetched since `baseJid` must not be kept. `baseJid` absent: only purges not yet written are asked. */
  refuses(
    namespace: string,
    key: string,
    rule: string,
    baseJid: Jid = Number.MAX_SAFE_INTEGER,
  ): boolean {
    for (const purge of this.#active) if (takes(purge, namespace, key, rule)) return true;
    if (baseJid < (this.#floors.get(namespace) ?? 0)) return true;
    if (baseJid < (this.#keys.get(`${namespace}\0${key}`) ?? 0)) return true;
    for (const written of this.#patterns.values()) {
      if (written.namespace !== namespace || baseJid >= written.jid) continue;
      if (takes({ ...written.pattern, soft: false, actor: '' }, namespace, key, rule)) return true;
    }
    return false;
  }

  /** What a purge not yet written makes of a stored entry. */
  effect(namespace: string, key: string, rule: string): 'none' | 'stale' | 'gone' {
    let effect: 'none' | 'stale' = 'none';
    for (const purge of this.#active) {
      if (!takes(purge, namespace, key, rule)) continue;
      if (!purge.soft) return 'gone';
      effect = 'stale';
    }
    return effect;
  }

  #forgetKey(): void {
    for (const [name, jid] of this.#keys) {
      this.#raiseFloor(name.slice(0, name.indexOf('\0')), jid);
      this.#keys.delete(name);
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
