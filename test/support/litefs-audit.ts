import { isIntact, ROW_COLUMNS, type SqlValue } from '../../src/manifest/entry-row.ts';
import { auditCluster, type JournalLine, readManifest } from './litefs-checks.ts';
import type { LiteFsCluster } from './litefs-cluster.ts';

/** Purges of keys that were acknowledged: key → its number in the journal. */
export type AcknowledgedPurges = ReadonlyMap<string, number>;

const ROWS = `SELECT ${ROW_COLUMNS.join(', ')} FROM entries`;
const REVIVED = 'SELECT count(*) FROM entries WHERE key = ? AND deleted = 0 AND jid <= ?';
const PURGES = "SELECT value, jid FROM purges WHERE kind = 'key'";

/**
 * As `auditCluster`, and looks through every row of every node. Throws too when a row does not fit its checksum, when a purge that
 * was acknowledged is not there, and when what it took is.
 */
export async function auditRows(
  cluster: LiteFsCluster,
  purged: AcknowledgedPurges = new Map(),
): Promise<readonly JournalLine[]> {
  const journal = await auditCluster(cluster);
  for (const node of cluster.nodes) {
    const problems = await readManifest(node, (database) => {
      const rows = database.prepare(ROWS).raw().all() as SqlValue[][];
      const broken = rows
        .filter((row) => !isIntact(row))
        .map(() => 'a row is not as it was written');
      const noted = new Map(database.prepare(PURGES).raw().all() as [string, number][]);
      const lost = [...purged].filter(([key, jid]) => noted.get(key) !== jid);
      const revived = [...purged].filter(
        ([key, jid]) => database.prepare(REVIVED).pluck().get(key, jid) !== 0,
      );
      return [
        ...broken,
        ...lost.map(([key]) => `the purge of ${key} is lost`),
        ...revived.map(([key]) => `${key} is there after its purge`),
      ];
    });
    if (problems.length > 0) throw new Error(`${node.name}: ${problems.join(', ')}`);
  }
  return journal;
}
