import { kindOf } from '../errors.ts';
import { migrate } from '../sqlite/migrations.ts';
import { openDatabase, type SqliteDatabase } from '../sqlite/open-database.ts';
import { FRESHNESS_MIGRATIONS, FRESHNESS_SCHEMA } from './schema.ts';
import type { FreshnessRow } from './writer-protocol.ts';

/** Writes freshness into the node-local database; what cannot be written is lost, and asked of the origin again. */
export class FreshnessWriter {
  readonly #path: string;
  #database: SqliteDatabase | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** One transaction for all rows; removes rows that were past all use at `expired` (milliseconds since the epoch). Throws SQLite's errors. */
  write(rows: readonly FreshnessRow[], expired: number): void {
    const database = this.#open();
    const upsert = database.prepare(
      `INSERT INTO freshness (epoch, key, variant, jid, fresh_until, stale_at, policy) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (epoch, key, variant) DO UPDATE SET
         jid = excluded.jid, fresh_until = excluded.fresh_until, stale_at = excluded.stale_at, policy = excluded.policy`,
    );
    database
      .transaction(() => {
        for (const row of rows) {
          upsert.run(
            row.epoch,
            row.key,
            row.variant,
            row.jid,
            row.freshUntil,
            row.staleAt,
            row.policy,
          );
        }
        if (rows.length === 0)
          database.prepare('DELETE FROM freshness WHERE stale_at < ?').run(expired);
      })
      .immediate();
  }

  /** Makes the table, so that readers find it. Throws `conflict` for a newer schema; anything else only costs confirmations. */
  open(): void {
    try {
      this.#open();
    } catch (error) {
      if (kindOf(error) === 'conflict') throw error;
    }
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  #open(): SqliteDatabase {
    if (this.#database === undefined) {
      // What was not yet on disk when the power went is asked of the origin again.
      const database = openDatabase(this.#path, { synchronous: 'normal' });
      try {
        migrate(database, FRESHNESS_SCHEMA, FRESHNESS_MIGRATIONS);
      } catch (error) {
        database.close();
        throw error;
      }
      this.#database = database;
    }
    return this.#database;
  }
}
