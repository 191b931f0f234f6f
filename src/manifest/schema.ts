import { type Migration, UPDATED_AT, updatedAtTrigger } from '../sqlite/migrations.ts';
import { TAG_TABLES } from './tag-schema.ts';

/** Name of the shared manifest's schema. */
export const MANIFEST_SCHEMA = 'manifest';

/**
 * Tables of the manifest, which every node shares. `next_jid` is the number that the next change takes;
 * `last_purge_jid` spares the look into `purges` where nothing was purged since; purges up to `purge_floor` are no
 * longer kept; `last_seen_at` is the newest `first_seen_at` given to a row with an h1. `variant` is '' where an answer does not vary, `deleted` 1 marks a tombstone. `row_sum` covers every
 * column of its row but `updated_at` (see `rowSum`).
 */
export const MANIFEST_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE namespaces (
        nsid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, epoch TEXT NOT NULL,
        first_jid INTEGER NOT NULL, next_jid INTEGER NOT NULL,
        last_purge_jid INTEGER NOT NULL DEFAULT 0, purge_floor INTEGER NOT NULL DEFAULT 0, ${UPDATED_AT}
      );
      CREATE TABLE entries (
        nsid INTEGER NOT NULL REFERENCES namespaces, key TEXT NOT NULL, variant TEXT NOT NULL, rule TEXT NOT NULL,
        method TEXT NOT NULL, url TEXT NOT NULL, public_host TEXT NOT NULL, vary TEXT NOT NULL,
        request_headers TEXT NOT NULL, status INTEGER NOT NULL, response_headers TEXT NOT NULL, policy TEXT NOT NULL,
        digest TEXT NOT NULL, size INTEGER NOT NULL, h1 TEXT, source TEXT NOT NULL,
        first_seen_at INTEGER NOT NULL, stored_at INTEGER NOT NULL, fresh_until INTEGER NOT NULL,
        stale_at INTEGER NOT NULL, jid INTEGER NOT NULL, deleted INTEGER NOT NULL, row_sum INTEGER NOT NULL,
        ${UPDATED_AT}, UNIQUE (nsid, key, variant)
      );
      CREATE INDEX entries_by_digest ON entries (digest) WHERE deleted = 0;
      CREATE TABLE journal (
        nsid INTEGER NOT NULL REFERENCES namespaces, jid INTEGER NOT NULL, key TEXT NOT NULL, variant TEXT NOT NULL,
        op TEXT NOT NULL, digest TEXT, size INTEGER, base_jid INTEGER NOT NULL, change_id TEXT NOT NULL,
        actor TEXT NOT NULL, at INTEGER NOT NULL, ${UPDATED_AT}, PRIMARY KEY (nsid, jid)
      ) WITHOUT ROWID;
      CREATE INDEX journal_by_change ON journal (change_id);
      CREATE TABLE purges (
        nsid INTEGER NOT NULL REFERENCES namespaces, jid INTEGER NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL,
        soft INTEGER NOT NULL, at INTEGER NOT NULL, ${UPDATED_AT}, PRIMARY KEY (nsid, jid)
      ) WITHOUT ROWID;
      CREATE TABLE counters (
        nsid INTEGER NOT NULL REFERENCES namespaces, name TEXT NOT NULL, value INTEGER NOT NULL,
        ${UPDATED_AT}, PRIMARY KEY (nsid, name)
      ) WITHOUT ROWID;
      ${updatedAtTrigger('namespaces')}
      ${updatedAtTrigger('entries')}
      ${updatedAtTrigger('journal', ['nsid', 'jid'])}
      ${updatedAtTrigger('purges', ['nsid', 'jid'])}
      ${updatedAtTrigger('counters', ['nsid', 'name'])}`,
  },
  {
    version: 2,
    // Only rows with an h1 are asked for by time; the others need not pay for an index.
    sql: `
      ALTER TABLE namespaces ADD COLUMN last_seen_at INTEGER NOT NULL DEFAULT 0;
      CREATE INDEX entries_by_first_seen ON entries (nsid, first_seen_at, key, variant)
        WHERE h1 IS NOT NULL AND deleted = 0;
      UPDATE namespaces SET last_seen_at = coalesce((
        SELECT max(first_seen_at) FROM entries
        WHERE entries.nsid = namespaces.nsid AND h1 IS NOT NULL AND deleted = 0), 0);`,
  },
  {
    version: 3,
    // `terms`: who was the primary since when; the highest one counts. `followers`: who may know of a newer one.
    sql: `
      CREATE TABLE terms (
        term INTEGER PRIMARY KEY, node TEXT NOT NULL, url TEXT NOT NULL, at INTEGER NOT NULL, ${UPDATED_AT}
      );
      CREATE TABLE followers (node TEXT PRIMARY KEY, url TEXT NOT NULL, seen_at INTEGER NOT NULL, ${UPDATED_AT});
      ${updatedAtTrigger('terms')}
      ${updatedAtTrigger('followers')}`,
  },
  {
    version: 4,
    compatible: true,
    sql: TAG_TABLES,
  },
];

/** Name of the schema that the manifest keeps in the node-local database. */
export const FRESHNESS_SCHEMA = 'manifest-freshness';

/**
 * How long confirmed entries are good for, known to this node alone. By epoch and not by nsid: after the manifest was
 * made anew, its numbers begin again and an old row must not fit a new entry.
 */
export const FRESHNESS_MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE freshness (
        epoch TEXT NOT NULL, key TEXT NOT NULL, variant TEXT NOT NULL, jid INTEGER NOT NULL,
        fresh_until INTEGER NOT NULL, stale_at INTEGER NOT NULL, policy TEXT NOT NULL,
        ${UPDATED_AT}, PRIMARY KEY (epoch, key, variant)
      ) WITHOUT ROWID;
      ${updatedAtTrigger('freshness', ['epoch', 'key', 'variant'])}`,
  },
];
