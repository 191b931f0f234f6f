import type { Statement } from 'better-sqlite3';
import type { Jid } from './entry.ts';
import { AT, PUT_COLUMNS, ROW_COLUMNS, rowSum, type SqlValue } from './entry-row.ts';
import { tagsOfRow } from './entry-tags.ts';
import type { ManifestDatabase, NamespaceState } from './manifest-database.ts';
import { begunPurge, type PurgeProgress } from './purge-progress.ts';
import { rowsToPurge } from './purge-rows.ts';
import { VariantLimit } from './variant-limit.ts';
import type { ChangeResponse, DeleteRequest, PurgeRequest, PutRequest } from './writer-protocol.ts';

const KEY_AT = AT.key;
const VARIANT_AT = AT.variant;
const H1_AT = PUT_COLUMNS.indexOf('h1');
const KEY_IN_PUT = PUT_COLUMNS.indexOf('key');
const RULE_IN_PUT = PUT_COLUMNS.indexOf('rule');
const HEADERS_IN_PUT = PUT_COLUMNS.indexOf('response_headers');
const SUMMED = ROW_COLUMNS.length - 1;
const TOMBSTONE_HEADERS = '[]';

/** The changes themselves; each method runs inside a transaction of the database. Synchronous. */
export class ChangeStatements {
  readonly #database: ManifestDatabase;
  readonly #seen: Statement;
  readonly #entry: Statement;
  readonly #upsert: Statement;
  readonly #journal: Statement;
  readonly #purgedSince: Statement;
  readonly #ofKey: Statement;
  readonly #variants: VariantLimit;

  constructor(manifest: ManifestDatabase) {
    this.#database = manifest;
    const { database } = manifest;
    const columns = ROW_COLUMNS.join(', ');
    this.#variants = new VariantLimit(manifest);
    this.#seen = database
      .prepare('SELECT jid FROM journal WHERE change_id = ? ORDER BY jid DESC LIMIT 1')
      .pluck();
    this.#entry = database
      .prepare(
        'SELECT first_seen_at, digest, size, deleted, h1 FROM entries WHERE nsid = ? AND key = ? AND variant = ?',
      )
      .raw();
    this.#upsert = database.prepare(
      `INSERT INTO entries (${columns}) VALUES (${ROW_COLUMNS.map(() => '?').join(', ')})
       ON CONFLICT (nsid, key, variant) DO UPDATE SET ${ROW_COLUMNS.map((name) => `${name} = excluded.${name}`).join(', ')}`,
    );
    this.#journal = database.prepare(
      `INSERT INTO journal (nsid, jid, key, variant, op, digest, size, base_jid, change_id, actor, at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#purgedSince = database
      .prepare(
        `SELECT 1 FROM purges WHERE nsid = @nsid AND jid > @baseJid AND (
           kind = 'all' OR (kind = 'key' AND value = @key) OR (kind = 'rule' AND value = @rule)
           OR (kind = 'tag' AND value IN (SELECT value FROM json_each(@tags)))
           OR (kind = 'prefix' AND substr(@key, 1, length(value)) = value)) LIMIT 1`,
      )
      .pluck();
    this.#ofKey = database
      .prepare(`SELECT ${columns} FROM entries WHERE nsid = ? AND key = ? AND deleted = 0`)
      .raw();
  }

  put(request: PutRequest): ChangeResponse {
    const { values, changeId, baseJid, actor, at } = request;
    const namespace = this.#database.namespace(request.namespace);
    const [key, variant] = values as [string, string];
    const before = this.#entry.get(namespace.nsid, key, variant) as
      | [number, string, number, number, string | null]
      | undefined;
    const applied = this.#seen.get(changeId) as Jid | undefined;
    let firstSeenAt = before?.[0] ?? at;
    if (applied !== undefined) return { outcome: 'committed', jid: applied, firstSeenAt };
    if (this.#isPurged(namespace, baseJid, values)) return { outcome: 'purged' };
    const jid = namespace.nextJid++;
    const digest = values[PUT_COLUMNS.indexOf('digest')] as string;
    const size = values[PUT_COLUMNS.indexOf('size')] as number;
    const wasThere = before !== undefined && before[3] === 0;
    // Who asks what came since the last time must find it, though it waited long to be written or the clock went back.
    if (values[H1_AT] !== null && !(wasThere && before[4] !== null)) {
      firstSeenAt = Math.max(at, namespace.lastSeenAt + 1);
      namespace.lastSeenAt = firstSeenAt;
    }
    this.#write([namespace.nsid, ...values, firstSeenAt, jid, 0]);
    const op = wasThere && before[1] === digest ? 'refresh' : 'put';
    const by = [baseJid, changeId, actor, at];
    this.#journal.run(namespace.nsid, jid, key, variant, op, digest, size, ...by);
    namespace.entries += wasThere ? 0 : 1;
    namespace.bytes += size - (wasThere ? before[2] : 0);
    if (!wasThere && variant !== '') this.#variants.enforce(namespace, key, request);
    return { outcome: 'committed', jid, firstSeenAt };
  }

  delete(request: DeleteRequest): ChangeResponse {
    const { key, variant, changeId, actor, at } = request;
    const namespace = this.#database.namespace(request.namespace);
    const applied = this.#seen.get(changeId) as Jid | undefined;
    if (applied !== undefined) return { outcome: 'committed', jid: applied, firstSeenAt: at };
    if (request.broken) {
      this.#database.database
        .prepare('DELETE FROM entries WHERE nsid = ? AND key = ? AND variant = ?')
        .run(namespace.nsid, key, variant ?? '');
    }
    const rows = this.#ofKey.all(namespace.nsid, key) as SqlValue[][];
    const wanted = rows.filter((row) => variant === undefined || row[VARIANT_AT] === variant);
    for (const row of wanted)
      this.#tombstone(namespace, row, namespace.nextJid, changeId, actor, at);
    // A change that found nothing is a change too: whoever follows the journal may have it.
    if (wanted.length === 0) {
      const jid = namespace.nextJid++;
      this.#journal.run(
        namespace.nsid,
        jid,
        key,
        variant ?? '',
        'delete',
        null,
        null,
        jid - 1,
        changeId,
        actor,
        at,
      );
    }
    return { outcome: 'committed', jid: namespace.nextJid - 1, firstSeenAt: at };
  }

  /** One transaction's worth of a purge, at most `rows` entries. `progress` absent: its beginning, which makes it known. */
  purge(request: PurgeRequest, progress: PurgeProgress | undefined, rows: number): PurgeProgress {
    let { entries, jids, last, left, after } = progress ?? this.#beginPurge(request);
    let budget = rows;
    while (left.length > 0 && budget > 0) {
      const name = left[0] as string;
      const namespace = this.#database.namespace(name);
      const found = rowsToPurge(this.#database.database, {
        ...{ nsid: namespace.nsid, before: jids[name] ?? 0, purge: request.purge, after },
        limit: budget,
      });
      for (const row of found) this.#purgeRow(namespace, row, jids[name] ?? 0, request);
      entries += found.length;
      last = { ...last, [name]: namespace.nextJid - 1 };
      const end = found.at(-1);
      if (found.length === budget && end !== undefined)
        after = [end[KEY_AT] as string, end[VARIANT_AT] as string];
      else {
        left = left.slice(1);
        after = ['', ''];
      }
      budget -= found.length;
    }
    return { entries, jids, last, left, after };
  }

  #beginPurge({ purge, namespaces, changeId, at }: PurgeRequest): PurgeProgress {
    const before = begunPurge(this.#database.database, changeId);
    if (before !== undefined) return before;
    const all = new Set([...this.#database.namespaceNames(), ...namespaces]);
    const names = purge.namespace === undefined ? [...all].sort() : [purge.namespace];
    const jids: Record<string, Jid> = {};
    for (const name of names) {
      const namespace = this.#database.namespace(name);
      const jid = namespace.nextJid++;
      const key = purge.kind === 'key' ? purge.value : '';
      namespace.lastPurgeJid = jid;
      jids[name] = jid;
      this.#database.database
        .prepare('INSERT INTO purges (nsid, jid, kind, value, soft, at) VALUES (?, ?, ?, ?, ?, ?)')
        .run(namespace.nsid, jid, purge.kind, purge.value, purge.soft ? 1 : 0, at);
      this.#journal.run(
        namespace.nsid,
        jid,
        key,
        '',
        'purge',
        null,
        null,
        jid - 1,
        changeId,
        purge.actor,
        at,
      );
    }
    return { entries: 0, jids, last: jids, left: names, after: ['', ''] };
  }

  #purgeRow(
    namespace: NamespaceState,
    row: SqlValue[],
    purgeJid: Jid,
    { purge, changeId, at }: PurgeRequest,
  ): void {
    if (!purge.soft) {
      this.#tombstone(namespace, row, purgeJid, changeId, purge.actor, at);
      return;
    }
    const jid = namespace.nextJid++;
    row[AT.fresh_until] = Math.min(row[AT.fresh_until] as number, at);
    row[AT.jid] = jid;
    this.#write(row.slice(0, SUMMED));
    const [key, variant, digest, size] = [
      row[KEY_AT],
      row[VARIANT_AT],
      row[AT.digest],
      row[AT.size],
    ];
    this.#journal.run(
      namespace.nsid,
      jid,
      key,
      variant,
      'refresh',
      digest,
      size,
      purgeJid,
      changeId,
      purge.actor,
      at,
    );
  }

  #tombstone(
    namespace: NamespaceState,
    row: SqlValue[],
    baseJid: Jid,
    changeId: string,
    actor: string,
    at: number,
  ): void {
    const jid = namespace.nextJid++;
    namespace.entries -= 1;
    namespace.bytes -= row[AT.size] as number;
    row[AT.deleted] = 1;
    row[AT.jid] = jid;
    row[AT.request_headers] = TOMBSTONE_HEADERS;
    row[AT.response_headers] = TOMBSTONE_HEADERS;
    this.#write(row.slice(0, SUMMED));
    const [key, variant] = [row[KEY_AT], row[VARIANT_AT]];
    this.#journal.run(
      namespace.nsid,
      jid,
      key,
      variant,
      'delete',
      null,
      null,
      baseJid,
      changeId,
      actor,
      at,
    );
  }

  #isPurged(
    { nsid, purgeFloor, lastPurgeJid }: NamespaceState,
    baseJid: Jid,
    values: readonly SqlValue[],
  ): boolean {
    if (baseJid < purgeFloor) return true;
    if (baseJid >= lastPurgeJid) return false;
    const [key, rule] = [values[KEY_IN_PUT], values[RULE_IN_PUT]];
    const tags = JSON.stringify([...tagsOfRow(values[HEADERS_IN_PUT] as string)]);
    return this.#purgedSince.get({ nsid, key, rule, tags, baseJid }) !== undefined;
  }

  #write(values: readonly SqlValue[]): void {
    this.#upsert.run(...values, rowSum(values));
  }
}
