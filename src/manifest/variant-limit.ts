import type { Statement } from 'better-sqlite3';
import type { Entry, Jid } from './entry.ts';
import type { ManifestDatabase, NamespaceState } from './manifest-database.ts';
import { withoutVariant } from './pending-changes.ts';

/** Variants kept of one key; the oldest goes when another one comes (reliability H-38). */
export const MAX_VARIANTS = 64;

/** A key's variants with a new one, or a new answer of one, newest first; no more than are kept. */
export function withVariant(entry: Entry, known: readonly Entry[]): readonly Entry[] {
  const others = withoutVariant(known, entry.variant);
  return [entry, ...others.slice(0, MAX_VARIANTS - 1)];
}

/** Who wrote the variant that was one too many. */
export interface VariantWriter {
  readonly changeId: string;
  readonly actor: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** Keeps the rows of a key within bounds. Runs inside a transaction. Synchronous. */
export class VariantLimit {
  readonly #oldest: Statement;
  readonly #remove: Statement;
  readonly #journal: Statement;

  constructor({ database }: Pick<ManifestDatabase, 'database'>) {
    this.#oldest = database
      .prepare(
        `SELECT variant, size FROM entries WHERE nsid = ? AND key = ? AND deleted = 0
         ORDER BY stored_at DESC, jid DESC LIMIT -1 OFFSET ${MAX_VARIANTS}`,
      )
      .raw();
    this.#remove = database.prepare(
      'DELETE FROM entries WHERE nsid = ? AND key = ? AND variant = ?',
    );
    this.#journal = database.prepare(
      `INSERT INTO journal (nsid, jid, key, variant, op, digest, size, base_jid, change_id, actor, at)
       VALUES (?, ?, ?, ?, 'delete', NULL, NULL, ?, ?, ?, ?)`,
    );
  }

  /** To be called once a row of a new variant is there. Leaves no tombstones: values that never end would pile them up. */
  enforce(namespace: NamespaceState, key: string, { changeId, actor, at }: VariantWriter): void {
    const over = this.#oldest.all(namespace.nsid, key) as [string, number][];
    for (const [variant, size] of over) {
      const jid: Jid = namespace.nextJid++;
      this.#remove.run(namespace.nsid, key, variant);
      const by = [jid - 1, `${changeId}-over`, actor, at];
      this.#journal.run(namespace.nsid, jid, key, variant, ...by);
      namespace.entries -= 1;
      namespace.bytes -= size;
    }
  }
}
