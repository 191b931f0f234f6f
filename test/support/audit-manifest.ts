import { AT, isIntact, ROW_COLUMNS, type SqlValue } from '../../src/manifest/entry-row.ts';
import { tagsOfRow } from '../../src/manifest/entry-tags.ts';
import type { SqliteDatabase } from '../../src/sqlite/open-database.ts';
import { isDigest } from '../../src/storage/digest.ts';

/** A body that a live row of the manifest names. */
export interface NamedBody {
  readonly key: string;
  readonly digest: string;
  readonly size: number;
}

interface Namespace {
  readonly nsid: number;
  readonly name: string;
  readonly first_jid: number;
  readonly next_jid: number;
}

interface Change {
  readonly jid: number;
  readonly op: string;
  readonly key: string;
  readonly variant: string;
  readonly digest: string | null;
  readonly size: number | null;
  readonly change_id: string;
}

/** Checks rows and journal of a manifest against each other. Gives the bodies that live rows name. */
export function auditManifest(database: SqliteDatabase, problems: string[]): NamedBody[] {
  const named: NamedBody[] = [];
  const namespaces = database
    .prepare<[], Namespace>('SELECT nsid, name, first_jid, next_jid FROM namespaces')
    .all();
  for (const namespace of namespaces) {
    const journal = auditJournal(database, namespace, problems);
    named.push(...auditEntries(database, namespace, journal, problems));
  }
  const strays = database
    .prepare('SELECT count(*) FROM entries WHERE nsid NOT IN (SELECT nsid FROM namespaces)')
    .pluck()
    .get() as number;
  if (strays > 0) problems.push(`manifest: ${strays} entries of no namespace`);
  auditTags(database, problems);
  return named;
}

/** Tags are those of the live rows' own fields, each once. */
function auditTags(database: SqliteDatabase, problems: string[]): void {
  const rows = database
    .prepare('SELECT nsid, key, variant, response_headers FROM entries WHERE deleted = 0')
    .raw()
    .iterate() as IterableIterator<[number, string, string, string]>;
  const expected = new Set<string>();
  for (const [nsid, key, variant, headers] of rows)
    for (const tag of tagsOfRow(headers)) expected.add(JSON.stringify([nsid, key, variant, tag]));
  const kept = database.prepare('SELECT nsid, key, variant, tag FROM entry_tags').raw().all();
  const found = new Set(kept.map((row) => JSON.stringify(row)));
  for (const tag of expected.symmetricDifference(found))
    problems.push(`manifest: tag ${tag} is ${found.has(tag) ? 'of no entry' : 'missing'}`);
}

/** Numbers run from `first_jid` to `next_jid - 1` without a gap, and no change is there twice. */
function auditJournal(
  database: SqliteDatabase,
  namespace: Namespace,
  problems: string[],
): ReadonlyMap<number, Change> {
  const { nsid, name, first_jid, next_jid } = namespace;
  const changes = database
    .prepare<[number, number], Change>(
      // What lies before is of a former epoch, kept for its change ids.
      'SELECT jid, op, key, variant, digest, size, change_id FROM journal WHERE nsid = ? AND jid >= ? ORDER BY jid',
    )
    .all(nsid, first_jid);
  let expected = first_jid;
  for (const { jid } of changes) {
    if (jid !== expected) problems.push(`journal ${name}: ${jid} follows ${expected - 1}`);
    expected = jid + 1;
  }
  if (expected !== next_jid) {
    problems.push(`journal ${name}: ends before ${expected}, but the next number is ${next_jid}`);
  }
  const puts = new Set<string>();
  for (const { op, change_id } of changes) {
    if (op !== 'put') continue;
    if (puts.has(change_id)) problems.push(`journal ${name}: change ${change_id} twice`);
    puts.add(change_id);
  }
  return new Map(changes.map((change) => [change.jid, change]));
}

function auditEntries(
  database: SqliteDatabase,
  { nsid, name, first_jid, next_jid }: Namespace,
  journal: ReadonlyMap<number, Change>,
  problems: string[],
): NamedBody[] {
  const rows = database
    .prepare<[number], SqlValue[]>(`SELECT ${ROW_COLUMNS.join(', ')} FROM entries WHERE nsid = ?`)
    .raw()
    .all(nsid) as unknown as SqlValue[][];
  const named: NamedBody[] = [];
  for (const row of rows) {
    const key = String(row[AT.key]);
    const variant = String(row[AT.variant]);
    const digest = String(row[AT.digest]);
    const size = Number(row[AT.size]);
    const jid = Number(row[AT.jid]);
    const say = (what: string): void => void problems.push(`entry ${name} ${key}: ${what}`);
    if (!isIntact(row)) say('its row sum does not fit');
    if (jid < 1 || jid >= next_jid) say(`number ${jid} was never given`);
    const change = journal.get(jid);
    if (change === undefined) {
      if (jid >= first_jid && jid < next_jid) say(`number ${jid} is not in the journal`);
    } else if (change.op === 'put') {
      if (change.key !== key || change.variant !== variant)
        say(`${jid} is a change of another key`);
      else if (change.digest !== digest || change.size !== size) say(`${jid} names another body`);
    }
    if (row[AT.deleted] === 1) continue;
    if (isDigest(digest)) named.push({ key, digest, size });
    else say(`names no digest but ${digest}`);
  }
  return named;
}
