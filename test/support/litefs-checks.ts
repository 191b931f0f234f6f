import { setTimeout as delay } from 'node:timers/promises';
import { OfdLock } from '@caje/litefs';
import { openDatabase, type SqliteDatabase } from '../../src/sqlite/open-database.ts';
import type { LiteFsCluster, LiteFsNode } from './litefs-cluster.ts';
import { MANIFEST } from './litefs-writer.ts';

/** A line of the journal of namespace `web`. */
export interface JournalLine {
  readonly jid: number;
  readonly key: string;
  readonly op: string;
  readonly change: string;
}

const BUSY_MS = 5000;
const POLL_MS = 5;

/** What `read` gives of a node's manifest, on a connection that cannot write; waits for who locks it. */
export async function readManifest<Result>(
  node: LiteFsNode,
  read: (database: SqliteDatabase) => Result,
): Promise<Result> {
  const end = performance.now() + BUSY_MS;
  for (;;) {
    try {
      const database = openDatabase(node.path(MANIFEST), { readOnly: true, busyTimeoutMs: 0 });
      try {
        return read(database);
      } finally {
        database.close();
      }
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await delay(20);
  }
}

/** The journal of a node, in order of its numbers. */
export async function journalOf(node: LiteFsNode): Promise<readonly JournalLine[]> {
  return await readManifest(
    node,
    (database) =>
      database
        .prepare('SELECT jid, key, op, change_id AS change FROM journal ORDER BY jid')
        .all() as JournalLine[],
  );
}

/**
 * The journal, once every node has come to the same transaction and has the same whole database. Throws when numbers
 * have a gap, a change is there twice, or nodes differ.
 */
export async function auditCluster(cluster: LiteFsCluster): Promise<readonly JournalLine[]> {
  await cluster.inStep(MANIFEST);
  const [first = [], ...others] = await Promise.all(cluster.nodes.map(journalOf));
  for (const node of cluster.nodes) {
    const found = await readManifest(node, (database) =>
      database.pragma('integrity_check', { simple: true }),
    );
    if (found !== 'ok') throw new Error(`${node.name}: ${String(found)}`);
  }
  const text = JSON.stringify(first);
  if (others.some((journal) => JSON.stringify(journal) !== text)) throw new Error('nodes differ');
  first.forEach(({ jid }, index) => {
    if (jid !== index + 1) throw new Error(`number ${jid} in place ${index + 1}`);
  });
  // A purge has a line of its own, and one for each row that it takes.
  if (new Set(first.map(({ change, op, key }) => `${change} ${op} ${key}`)).size !== first.length)
    throw new Error('a change is there twice');
  return first;
}

/** Resolves while HALT is held on a replica. */
export async function halted(node: LiteFsNode): Promise<void> {
  for (;;) {
    try {
      using lock = new OfdLock(`${node.path(MANIFEST)}-lock`, { create: false });
      if (lock.isHeldElsewhere()) return;
    } catch {
      // The database is not known there yet.
    }
    await delay(POLL_MS);
  }
}
