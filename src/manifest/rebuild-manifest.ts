import { randomUUIDv7 } from 'node:crypto';
import type { EntryPolicy } from './entry.ts';
import { PUT_COLUMNS, ROW_COLUMNS, rowSum, type SqlValue } from './entry-row.ts';
import type { GatheredRow } from './gathered-rows.ts';
import { ManifestDatabase, type NamespaceState } from './manifest-database.ts';

/** How a manifest is made anew. */
export interface RebuildOptions {
  /** Where nothing lies yet. */
  readonly path: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Entries with this `freshUntil` keep it; all others are to be asked for before they are used. Milliseconds since the epoch. */
  readonly forever: number;
}

const COLUMN = Object.fromEntries(PUT_COLUMNS.map((column, index) => [column, index])) as Record<
  (typeof PUT_COLUMNS)[number],
  number
>;
const ACTOR = 'reindex';

/**
 * Writes a manifest of these rows, each with a number and a line of the journal of its own, from 1 and in new epochs. It is one file
 * when the generator ends, which gives the rows written so far now and then. Throws the library's errors.
 */
export function* rebuildManifest(
  rows: Iterable<GatheredRow>,
  options: RebuildOptions,
): Generator<number> {
  const manifest = new ManifestDatabase(options.path);
  try {
    const writer = new RowWriter(manifest, options);
    let batch: GatheredRow[] = [];
    let done = 0;
    const write = (): number => {
      manifest.transaction(
        () => {
          for (const row of batch) writer.write(row);
        },
        () => {},
      );
      done += batch.length;
      batch = [];
      return done;
    };
    for (const row of rows) {
      if (batch.push(row) === BATCH) yield write();
    }
    yield write();
    manifest.database.pragma('wal_checkpoint(TRUNCATE)');
  } finally {
    manifest.close();
  }
}

/** Rows of one transaction. */
const BATCH = 500;

class RowWriter {
  readonly #manifest: ManifestDatabase;
  readonly #options: RebuildOptions;
  readonly #entry;
  readonly #journal;

  constructor(manifest: ManifestDatabase, options: RebuildOptions) {
    this.#manifest = manifest;
    this.#options = options;
    const { database } = manifest;
    this.#entry = database.prepare(
      `INSERT INTO entries (${ROW_COLUMNS.join(', ')}) VALUES (${ROW_COLUMNS.map(() => '?').join(', ')})`,
    );
    this.#journal = database.prepare(
      `INSERT INTO journal (nsid, jid, key, variant, op, digest, size, base_jid, change_id, actor, at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
  }

  write(row: GatheredRow): void {
    const namespace = this.#manifest.namespace(row.namespace);
    const jid = namespace.nextJid++;
    const { key, variant, firstSeenAt } = row;
    const { now } = this.#options;
    const values = row.values === undefined ? tombstone(row) : this.#revived(row, row.values);
    const deleted = row.values === undefined ? 1 : 0;
    const all = [namespace.nsid, ...values, firstSeenAt, jid, deleted];
    this.#entry.run(...all, rowSum(all));
    const body = deleted === 1 ? [null, null] : [values[COLUMN.digest], values[COLUMN.size]];
    const op = deleted === 1 ? 'delete' : 'put';
    const by = [jid - 1, randomUUIDv7(), ACTOR, now];
    this.#journal.run(namespace.nsid, jid, key, variant, op, ...body, ...by);
    if (deleted === 0) count(namespace, values, firstSeenAt);
  }

  // A purge may have come in after the last note: what can be asked for is asked for.
  #revived({ isStale }: GatheredRow, values: readonly SqlValue[]): SqlValue[] {
    const revived = [...values];
    const { now, forever } = this.#options;
    if (!isStale && values[COLUMN.fresh_until] === forever) return revived;
    const policy = JSON.parse(values[COLUMN.policy] as string) as EntryPolicy;
    revived[COLUMN.policy] = JSON.stringify({ ...policy, staleWhileRevalidateUntil: 0 });
    revived[COLUMN.fresh_until] = Math.min(values[COLUMN.fresh_until] as number, now);
    return revived;
  }
}

function count(namespace: NamespaceState, values: readonly SqlValue[], firstSeenAt: number): void {
  namespace.entries += 1;
  namespace.bytes += values[COLUMN.size] as number;
  if (values[COLUMN.h1] !== null)
    namespace.lastSeenAt = Math.max(namespace.lastSeenAt, firstSeenAt);
}

function tombstone({ key, variant, rule }: GatheredRow): SqlValue[] {
  const known: Partial<Record<(typeof PUT_COLUMNS)[number], SqlValue>> = {
    ...{ key, variant, rule, vary: '[]', request_headers: '[]', response_headers: '[]' },
    ...{ policy: '{}', status: 0, size: 0, h1: null, stored_at: 0, fresh_until: 0, stale_at: 0 },
  };
  return PUT_COLUMNS.map((column) => (column in known ? (known[column] ?? null) : ''));
}
