import Database from 'better-sqlite3';

/** An open SQLite database; synchronous. */
export type SqliteDatabase = Database.Database;

/** How a database is opened. */
export interface OpenDatabaseOptions {
  /** True: no write, and the file must exist. Absent: read and write, made if missing. */
  readonly readOnly?: boolean | undefined;
  /** `delete`: a rollback journal, removed at each commit. Absent: `wal`. */
  readonly journal?: 'wal' | 'delete' | undefined;
  /** `full`: a commit is on disk when it returns. `normal`: the last ones may be lost with the power, never the file. Absent: `full`. */
  readonly synchronous?: 'full' | 'normal' | undefined;
  /** Milliseconds that a statement waits for another connection's lock. Absent: 100. */
  readonly busyTimeoutMs?: number | undefined;
}

/** Longest wait for a lock off the event loop; longer waits are the caller's to plan and to count. */
const BUSY_TIMEOUT_MS = 100;
/** The write-ahead log is cut back to this many bytes after a checkpoint. */
const WAL_LIMIT_BYTES = 16 * 1024 * 1024;

/** Opens a database, in WAL mode unless said otherwise, with foreign keys checked. Throws the library's error, with its `SQLITE_…` code. */
export function openDatabase(path: string, options: OpenDatabaseOptions = {}): SqliteDatabase {
  const timeout = options.busyTimeoutMs ?? BUSY_TIMEOUT_MS;
  const readonly = options.readOnly ?? false;
  const database = new Database(path, { readonly, timeout });
  try {
    if (!readonly) {
      database.pragma(`journal_mode = ${options.journal ?? 'wal'}`);
      database.pragma(`synchronous = ${options.synchronous ?? 'full'}`);
      database.pragma(`journal_size_limit = ${WAL_LIMIT_BYTES}`);
    }
    database.pragma('foreign_keys = ON');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** The `SQLITE_…` code of anything thrown. Absent: not an error of SQLite. */
export function sqliteCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined;
}

/** Whether the file itself is broken or no database at all: trying again cannot help. */
export function isDamaged(error: unknown): boolean {
  const code = sqliteCode(error);
  return code !== undefined && (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB');
}
