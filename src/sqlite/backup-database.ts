import Database from 'better-sqlite3';
import type { CallOptions } from '../body.ts';
import { openDatabase } from './open-database.ts';

/** Pages copied before others get their turn: well under a millisecond. */
const PAGES = 256;

/**
 * Copies a database while others write it, as it is at one moment, by SQLite's online backup. `to` is overwritten and is
 * one file then, without a log beside it. Not checked, not synced. Throws the library's error, or the signal's reason.
 */
export async function backupDatabase(
  from: string,
  to: string,
  { signal }: CallOptions = {},
): Promise<void> {
  const source = openDatabase(from, { readOnly: true });
  try {
    // Whoever holds a snapshot need not begin anew when another connection commits.
    source.exec('BEGIN');
    source.prepare('SELECT count(*) FROM sqlite_schema').get();
    await source.backup(to, {
      progress: () => {
        signal?.throwIfAborted();
        return PAGES;
      },
    });
  } finally {
    source.close();
  }
  const copy = new Database(to);
  try {
    copy.pragma('journal_mode = DELETE');
  } finally {
    copy.close();
  }
}
