import type { SqliteDatabase } from '../sqlite/open-database.ts';
import type { Jid } from './entry.ts';
import type { PurgeResponse } from './writer-protocol.ts';

/** How far a purge has come; a purge of many entries takes several transactions. */
export interface PurgeProgress extends PurgeResponse {
  /** Namespaces still to be swept; the first one from after this key and variant. */
  readonly left: readonly string[];
  readonly after: readonly [key: string, variant: string];
}

/** A purge that was handed in before: what it has taken counts, and it is swept to its end. Absent: it was not. */
export function begunPurge(database: SqliteDatabase, changeId: string): PurgeProgress | undefined {
  const rows = database
    .prepare(
      `SELECT name, op, min(jid), max(jid), count(*) FROM journal JOIN namespaces USING (nsid)
       WHERE change_id = ? GROUP BY name, op ORDER BY name`,
    )
    .raw()
    .all(changeId) as [string, string, Jid, Jid, number][];
  const jids: Record<string, Jid> = {};
  const last: Record<string, Jid> = {};
  let entries = 0;
  for (const [name, op, first, end, count] of rows) {
    if (op === 'purge') jids[name] = first;
    else entries += count;
    last[name] = Math.max(last[name] ?? 0, end);
  }
  const left = Object.keys(jids);
  return left.length === 0 ? undefined : { entries, jids, last, left, after: ['', ''] };
}
