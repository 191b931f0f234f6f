import type { ManifestDatabase } from './manifest-database.ts';

const DAY_MS = 86_400_000;
/** Followers that were away for longer start from a snapshot. */
const JOURNAL_MS = 7 * DAY_MS;
const JOURNAL_ROWS = 1_000_000;
/** No fill runs for longer than a day; one that does is refused (`purge_floor`). */
const PURGES_MS = DAY_MS;
const BLOCK_ROWS = 1000;
const BLOCKS_PER_RUN = 20;

/** Removes what is past keeping of the journal and of the purges, a bounded number of rows at a time. Runs inside a transaction. */
export function pruneJournal({ database }: ManifestDatabase, now: number): void {
  const namespaces = database
    .prepare('SELECT nsid, first_jid, next_jid FROM namespaces')
    .raw()
    .all() as [number, number, number][];
  const at = database.prepare('SELECT at FROM journal WHERE nsid = ? AND jid = ?').pluck();
  for (const [nsid, firstJid, nextJid] of namespaces) {
    let first = firstJid;
    for (let block = 0; block < BLOCKS_PER_RUN; block++) {
      const next = first + BLOCK_ROWS;
      const newest = at.get(nsid, next - 1) as number | undefined;
      if (newest === undefined || (newest >= now - JOURNAL_MS && next > nextJid - JOURNAL_ROWS))
        break;
      first = next;
    }
    if (first !== firstJid) {
      database.prepare('DELETE FROM journal WHERE nsid = ? AND jid < ?').run(nsid, first);
      database.prepare('UPDATE namespaces SET first_jid = ? WHERE nsid = ?').run(first, nsid);
    }
    const old = database
      .prepare('SELECT max(jid) FROM purges WHERE nsid = ? AND at < ?')
      .pluck()
      .get(nsid, now - PURGES_MS);
    if (typeof old === 'number') {
      database.prepare('DELETE FROM purges WHERE nsid = ? AND jid <= ?').run(nsid, old);
      database.prepare('UPDATE namespaces SET purge_floor = ? WHERE nsid = ?').run(old, nsid);
    }
  }
}
