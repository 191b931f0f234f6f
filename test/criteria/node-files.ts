import { join } from 'node:path';
import Database from 'better-sqlite3';
import { callControl } from '../../src/http/control-client.ts';
import { filesBelow } from '../support/audit-store.ts';
import type { NodeProcess } from '../support/node-process.ts';

/** A reader never waits for a writer in WAL mode; only a checkpoint at the end of a node can be in its way. */
const BUSY_TIMEOUT_MS = 2_000;

/** A row of `entries` that is no tombstone. */
export interface EntryRow {
  readonly key: string;
  readonly variant: string;
  readonly rule: string;
  readonly digest: string;
  readonly h1: string | null;
  readonly size: number;
  readonly jid: number;
  readonly fresh_until: number;
}

/** Asks a node's manifest from outside, as the sqlite shell would. */
export function queryManifest<T>(
  node: Pick<NodeProcess, 'dataDir'>,
  sql: string,
  ...values: readonly unknown[]
): T[] {
  return queryFile<T>(manifestPath(node), sql, ...values);
}

/** Asks any SQLite file, without changing it. */
export function queryFile<T>(path: string, sql: string, ...values: readonly unknown[]): T[] {
  const database = new Database(path, { readonly: true, timeout: BUSY_TIMEOUT_MS });
  try {
    return database.prepare<unknown[], T>(sql).all(...values);
  } finally {
    database.close();
  }
}

/** Where a node's manifest lies. */
export function manifestPath({ dataDir }: Pick<NodeProcess, 'dataDir'>): string {
  return join(dataDir, 'manifest.db');
}

/** Live rows whose key ends in this; absent: all. */
export function entryRows(node: Pick<NodeProcess, 'dataDir'>, keyEnd = ''): EntryRow[] {
  return queryManifest<EntryRow>(node, 'SELECT * FROM entries WHERE deleted = 0').filter(
    ({ key }) => key.endsWith(keyEnd),
  );
}

/** Digests of the bodies that a running node keeps, on whatever backend, each of them read and checked. */
export async function keptBodies({ dataDir }: Pick<NodeProcess, 'dataDir'>): Promise<string[]> {
  const rows = (await callControl(join(dataDir, 'control.sock'), 'verify')) as {
    readonly digest: string;
    readonly ok: boolean;
  }[];
  // A body that lies in both stores of a tiered one is one body.
  return [...new Set(rows.map(({ digest, ok }) => (ok ? digest : `${digest} is damaged`)))];
}

/** Files of bodies on their way, in the spool and in a disk backend's folder for temporary files. */
export async function temporaryFiles({ dataDir }: Pick<NodeProcess, 'dataDir'>): Promise<string[]> {
  const folders = [join(dataDir, 'spool'), join(dataDir, 'blobs', 'tmp')];
  return (await Promise.all(folders.map(filesBelow))).flat();
}
