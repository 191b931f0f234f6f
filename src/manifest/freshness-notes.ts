import type { Entry } from './entry.ts';
import { slotName } from './entry-index.ts';
import type { FreshnessRow } from './writer-protocol.ts';

const FLUSH_MS = 100;
const FLUSH_ROWS = 500;
const EXPIRE_EVERY_MS = 60 * 60 * 1000;
/** Rows this long past `staleAt` are of no use to anyone. */
const EXPIRED_MS = 7 * 86_400_000;

/** Writes rows into the node-local database; without rows removes those that were past use at `expired`. */
export type FreshnessSink = (rows: readonly FreshnessRow[], expired: number) => Promise<void>;

/** Freshness on its way to the node-local database: grouped, and counting for lookups meanwhile. */
export class FreshnessNotes {
  readonly #sink: FreshnessSink;
  readonly #rows = new Map<string, FreshnessRow>();
  #flushing = false;
  #timer: NodeJS.Timeout | undefined;
  #expiredAt = Number.NEGATIVE_INFINITY;

  constructor(sink: FreshnessSink) {
    this.#sink = sink;
  }

  /** Notes how long an entry of this epoch is good for. */
  note(epoch: string, entry: Entry): void {
    const { namespace, key, variant, jid, freshUntil, staleAt } = entry;
    const policy = JSON.stringify(entry.policy);
    const row = { epoch, key, variant, jid, freshUntil, staleAt, policy };
    this.#rows.set(`${slotName(namespace, key)}\0${variant}`, row);
    if (this.#rows.size >= FLUSH_ROWS && !this.#flushing) void this.flush();
    else this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }

  /** The entry with what is noted of it. */
  applyTo(entry: Entry): Entry {
    const row = this.#rows.get(`${slotName(entry.namespace, entry.key)}\0${entry.variant}`);
    if (row === undefined || row.jid !== entry.jid) return entry;
    return {
      ...entry,
      freshUntil: row.freshUntil,
      staleAt: row.staleAt,
      policy: JSON.parse(row.policy) as Entry['policy'],
    };
  }

  /** Resolves when everything noted so far was handed to the database. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const written = [...this.#rows];
    if (written.length === 0) return;
    this.#flushing = true;
    const expired = Date.now() - EXPIRED_MS;
    await this.#sink(
      written.map(([, row]) => row),
      expired,
    );
    for (const [name, row] of written) if (this.#rows.get(name) === row) this.#rows.delete(name);
    this.#flushing = false;
    if (performance.now() - this.#expiredAt > EXPIRE_EVERY_MS) {
      this.#expiredAt = performance.now();
      await this.#sink([], expired);
    }
  }
}
