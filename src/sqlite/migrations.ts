import { ProxyError } from '../errors.ts';
import type { SqliteDatabase } from './open-database.ts';

/** One step of a schema; never changed once released. */
export interface Migration {
  /** Counted from 1, without gaps. */
  readonly version: number;
  /** Statements, run in one transaction with the note that they ran. */
  readonly sql: string;
  /** True: a program that knows only the version before goes on working with the file. Absent: it must refuse it. */
  readonly compatible?: boolean | undefined;
}

/**
 * Brings the schema called `name` to its newest version, each step in a transaction of its own; several schemas may
 * share a file. Throws `conflict`, before anything is changed, when the file is newer than these migrations and not said to be
 * of use to them.
 */
export function migrate(
  database: SqliteDatabase,
  name: string,
  migrations: readonly Migration[],
): void {
  const newest = migrations.at(-1)?.version ?? 0;
  const found = schemaVersion(database, name);
  if (found > newest && usableFrom(database, name, found) > newest) {
    throw new ProxyError(
      'conflict',
      'migrations.migrate',
      `${database.name}: schema ${name} has version ${found}, this caje knows ${newest}; use a newer caje or another data folder`,
    );
  }
  if (found >= newest) return;
  for (const migration of migrations) {
    if (migration.version > found)
      database.transaction(() => apply(database, name, migration)).immediate();
  }
}

/** Version that a schema has now; 0: it is not there. */
export function schemaVersion(database: SqliteDatabase, name: string): number {
  const table = database.prepare(
    `SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_versions'`,
  );
  if (table.get() === undefined) return 0;
  const row = database
    .prepare('SELECT version FROM schema_versions WHERE name = ?')
    .pluck()
    .get(name);
  return typeof row === 'number' ? row : 0;
}

/** Oldest version whose programs go on working with this one. The note is of one version: of any other, nothing is known. */
function usableFrom(database: SqliteDatabase, name: string, version: number): number {
  const noted = schemaVersion(database, `${name}@${version}`);
  return noted === 0 ? version : noted;
}

function apply(database: SqliteDatabase, name: string, migration: Migration): void {
  const { version, sql, compatible = false } = migration;
  const before = schemaVersion(database, name);
  // Another process may have been first between the look and this transaction.
  if (before >= version) return;
  database.exec(VERSIONS_TABLE);
  const from = usableFrom(database, name, before);
  database.exec(sql);
  const note = database.prepare(
    'INSERT INTO schema_versions (name, version) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET version = excluded.version',
  );
  note.run(name, version);
  if (compatible && from > 0) note.run(`${name}@${version}`, from);
}

const NOW_MS = `CAST(unixepoch('subsec') * 1000 AS INTEGER)`;

/**
 * A trigger that keeps `updated_at` (milliseconds since the epoch) of a table whenever a row is changed without setting it.
 * `key` is the table's primary key where it has no rowid.
 */
export function updatedAtTrigger(table: string, key: readonly string[] = ['rowid']): string {
  const sameRow = key.map((column) => `${column} = NEW.${column}`).join(' AND ');
  return `
    CREATE TRIGGER IF NOT EXISTS ${table}_updated_at AFTER UPDATE ON ${table}
    FOR EACH ROW WHEN NEW.updated_at = OLD.updated_at
    BEGIN
      UPDATE ${table} SET updated_at = max(${NOW_MS}, OLD.updated_at + 1) WHERE ${sameRow};
    END;`;
}

/** The column that `updatedAtTrigger` keeps. */
export const UPDATED_AT: string = `updated_at INTEGER NOT NULL DEFAULT (${NOW_MS})`;

const VERSIONS_TABLE = `
  CREATE TABLE IF NOT EXISTS schema_versions (name TEXT PRIMARY KEY, version INTEGER NOT NULL, ${UPDATED_AT});
  ${updatedAtTrigger('schema_versions')}`;
