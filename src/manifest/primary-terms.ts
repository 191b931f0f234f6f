import { randomBytes } from 'node:crypto';
import { openDatabase, type SqliteDatabase } from '../sqlite/open-database.ts';
import type { Term } from './primary-protocol.ts';

/**
 * How far a new epoch's numbers begin after the last one known: more than the primary before can have given without our
 * knowledge, so that no number is given twice and what began in the old epoch is older than every purge of the new one.
 */
const EPOCH_STEP = 1_000_000_000;

/** Before the first: nobody is known. */
export const NO_TERM: Term = { term: 0, node: '', url: '' };

/** What a database says of the cluster before it is opened for writing: needs no lock. */
export function peekTerms(path: string): {
  readonly known: Term;
  /** Addresses of nodes that followed this one. */
  readonly followers: readonly string[];
} {
  try {
    const database = openDatabase(path, { readOnly: true });
    try {
      return { known: readTerm(database), followers: readFollowers(database) };
    } finally {
      database.close();
    }
  } catch {
    // No file yet, of an older version, or damaged: nothing is known then.
    return { known: NO_TERM, followers: [] };
  }
}

/** Who is the primary as far as this database knows. */
export function readTerm(database: SqliteDatabase): Term {
  const row = database
    .prepare<[], Term>('SELECT term, node, url FROM terms ORDER BY term DESC LIMIT 1')
    .get();
  return row ?? NO_TERM;
}

/** Notes who the primary is. Inside a transaction. */
export function writeTerm(database: SqliteDatabase, { term, node, url }: Term, at: number): void {
  database
    .prepare(
      `INSERT INTO terms (term, node, url, at) VALUES (?, ?, ?, ?)
       ON CONFLICT (term) DO UPDATE SET node = excluded.node, url = excluded.url, at = excluded.at`,
    )
    .run(term, node, url, at);
}

/** Addresses of nodes that followed this one, the latest first. */
export function readFollowers(database: SqliteDatabase): string[] {
  return database
    .prepare<[], string>(`SELECT url FROM followers WHERE url <> '' ORDER BY seen_at DESC LIMIT 20`)
    .pluck()
    .all() as unknown as string[];
}

/** Notes a node that follows this one. Inside a transaction. */
export function writeFollower(
  database: SqliteDatabase,
  node: string,
  url: string,
  at: number,
): void {
  // A process that was there before.
  database.prepare('DELETE FROM followers WHERE url = ? AND node <> ?').run(url, node);
  database
    .prepare(
      `INSERT INTO followers (node, url, seen_at) VALUES (?, ?, ?)
       ON CONFLICT (node) DO UPDATE SET url = excluded.url, seen_at = excluded.seen_at`,
    )
    .run(node, url, at);
}

/**
 * Begins a new epoch in every namespace, with numbers far beyond those given so far. What the journal holds stays, so that
 * a change handed in again is known, but cursors from before are answered with `gone`. Inside a transaction.
 */
export function beginEpochs(database: SqliteDatabase): void {
  const nsids = database.prepare('SELECT nsid FROM namespaces').pluck().all() as number[];
  const update = database.prepare(
    `UPDATE namespaces SET epoch = ?, first_jid = next_jid + ${EPOCH_STEP}, next_jid = next_jid + ${EPOCH_STEP}
     WHERE nsid = ?`,
  );
  for (const nsid of nsids) update.run(randomBytes(8).toString('hex'), nsid);
}

/** Namespaces that have not all of their primary's rows yet. */
export function unfinishedNamespaces(database: SqliteDatabase): string[] {
  return database.prepare(`SELECT name FROM namespaces WHERE epoch = ''`).pluck().all() as string[];
}
