import { join } from 'node:path';
import { expect } from 'chai';
import { rowSum, type SqlValue, toRowValues } from '../../src/manifest/entry-row.ts';
import { rowsByKey, rowsBySeen } from '../../src/manifest/row-pages.ts';
import { MANIFEST_MIGRATIONS, MANIFEST_SCHEMA } from '../../src/manifest/schema.ts';
import { migrate, schemaVersion } from '../../src/sqlite/migrations.ts';
import { openDatabase, type SqliteDatabase } from '../../src/sqlite/open-database.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { newEntry, openIn, put } from '../support/manifest-fixtures.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const ROWS = 100_000;

/** The database with its statements noted as they are prepared. */
function noting(database: SqliteDatabase, statements: string[]): SqliteDatabase {
  return new Proxy(database, {
    get: (target, name) => {
      if (name !== 'prepare') return Reflect.get(target, name) as unknown;
      return (sql: string) => {
        statements.push(sql);
        return target.prepare(sql);
      };
    },
  });
}

function plansOf(database: SqliteDatabase, statements: readonly string[]): string[] {
  return statements.flatMap((sql) => {
    const values = sql
      .split('?')
      .slice(1)
      .map(() => 1);
    const steps = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values);
    return (steps as { detail: string }[]).map(({ detail }) => detail);
  });
}

/** A row as caje wrote it when the schema had its first version. */
function writeOldRow(
  database: SqliteDatabase,
  key: string,
  h1: string | undefined,
  jid: number,
): void {
  const entry = newEntry(key, { namespace: 'go', h1 });
  const row: SqlValue[] = [1, ...toRowValues(entry, 5000 + jid), 4000 + jid, jid, 0];
  const marks = [...row, 0].map(() => '?').join(', ');
  database
    .prepare(
      `INSERT INTO entries (nsid, key, variant, rule, method, url, public_host, vary, request_headers, status,
         response_headers, policy, digest, size, h1, source, stored_at, fresh_until, stale_at, first_seen_at, jid,
         deleted, row_sum) VALUES (${marks})`,
    )
    .run(...row, rowSum(row));
  database
    .prepare(
      `INSERT INTO journal (nsid, jid, key, variant, op, digest, size, base_jid, change_id, actor, at)
       VALUES (1, ?, ?, '', 'put', ?, ?, 0, ?, 'test', ?)`,
    )
    .run(jid, key, entry.digest, entry.size, `change ${jid}`, 5000 + jid);
}

describe('pages of the manifest', () => {
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'manifest.db');
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  describe(`with ${ROWS} rows`, () => {
    let database: SqliteDatabase;
    beforeEach(async () => {
      await using manifest = await openIn(folder.path);
      await manifest.commit([put('a', 0, { h1: 'h1:x=' })]);
      database = openDatabase(path);
      const columns = (database.pragma('table_info(entries)') as { name: string }[]).map(
        ({ name }) => name,
      );
      const copies: Readonly<Record<string, string>> = {
        key: `printf('m%06d.', n.value / 4) || substr('infomod zip list', n.value % 4 * 4 + 1, 4 - (n.value % 4 IN (1, 2)))`,
        h1: `iif(n.value % 4 IN (1, 2), 'h1:x=', NULL)`,
        first_seen_at: 'n.value',
        deleted: 'n.value % 40 = 2',
      };
      database.exec(`
        INSERT INTO entries (${columns.join(', ')})
        SELECT ${columns.map((name) => copies[name] ?? `e.${name}`).join(', ')}
        FROM (SELECT * FROM entries WHERE key = 'a') e, (
          WITH RECURSIVE count (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM count WHERE value < ${ROWS - 1})
          SELECT value FROM count) n`);
    });
    afterEach(() => database.close());

    it('reads a page by time from the index alone: no scan, no sort', () => {
      const statements: string[] = [];
      const query = { nsid: 1, suffix: '.zip', limit: 1000 };
      const first = rowsBySeen(noting(database, statements), query, 0, undefined);
      const second = rowsBySeen(noting(database, statements), query, 0, first.next);
      expect([first.rows.length, second.rows.length]).to.deep.equal([1000, 1000]);
      rowsBySeen(noting(database, statements), { ...query, suffix: '' }, 9, undefined);
      const plans = plansOf(database, statements);
      expect(plans).to.have.length(5);
      for (const plan of plans) {
        expect(plan).to.match(
          /^SEARCH entries USING (?:COVERING )?INDEX entries_by_first_seen \(nsid=\? AND \(first_seen_at,key,variant\)>/,
        );
      }
    });

    it('reads a page by key from where the one before ended: no scan, no sort', () => {
      const statements: string[] = [];
      const query = { nsid: 1, suffix: '.zip', limit: 1000 };
      const first = rowsByKey(database, query, 'm', undefined);
      const second = rowsByKey(noting(database, statements), query, 'm', first.next);
      rowsByKey(noting(database, statements), { ...query, suffix: '' }, 'm', second.next);
      const plans = plansOf(database, statements);
      expect(plans).to.have.length(3);
      for (const plan of plans) {
        expect(plan).to.match(
          /^SEARCH entries USING (?:COVERING )?INDEX sqlite_autoindex_entries_1 \(nsid=\? AND \(key,variant\)>/,
        );
      }
    });

    it('steps over a bounded number of rows at a time where few end as wanted', () => {
      const query = { nsid: 1, suffix: '.none', limit: 10 };
      const byKey: (string | undefined)[] = [];
      let position = rowsByKey(database, query, '', undefined).next;
      for (; position !== undefined; position = rowsByKey(database, query, '', position).next)
        byKey.push(position[0]);
      expect(byKey).to.have.length(10);
      // `a` is the first of the ten thousand.
      expect(byKey[0]).to.equal('m002499.mod');
      const seen = rowsBySeen(database, query, 0, undefined);
      expect(seen.rows).to.deep.equal([]);
      expect(seen.next?.[0]).to.be.within(20_000, 22_000);
    });

    // The second is more than the rows of one step have.
    for (const limit of [997, 4000]) {
      it(`finds every row once, by key and by time, ${limit} at most a page`, () => {
        const query = { nsid: 1, suffix: '.zip', limit };
        const byKey: unknown[] = [];
        const bySeen: unknown[] = [];
        let key = rowsByKey(database, query, 'm', undefined);
        for (; ; key = rowsByKey(database, query, 'm', key.next)) {
          byKey.push(...key.rows.map((row) => row[1]));
          if (key.next === undefined) break;
        }
        let seen = rowsBySeen(database, query, 0, undefined);
        for (; ; seen = rowsBySeen(database, query, 0, seen.next)) {
          bySeen.push(...seen.rows.map((row) => row[1]));
          if (seen.next === undefined) break;
        }
        const all = database
          .prepare(`SELECT key FROM entries WHERE key LIKE '%.zip' AND deleted = 0 ORDER BY key`)
          .pluck()
          .all();
        expect(all).to.have.length(22_500);
        expect(byKey).to.deep.equal(all);
        expect(bySeen).to.deep.equal(all);
      });
    }
  });

  it('M12: a database of version 1 is migrated with its rows as they are', async () => {
    const older = openDatabase(path);
    migrate(older, MANIFEST_SCHEMA, MANIFEST_MIGRATIONS.slice(0, 1));
    older.exec(
      `INSERT INTO namespaces (name, kind, epoch, first_jid, next_jid) VALUES ('go', 'cache', 'e0', 1, 4)`,
    );
    writeOldRow(older, 'm/@v/v1.0.0.zip', 'h1:x=', 1);
    writeOldRow(older, 'm/@v/v1.1.0.zip', undefined, 2);
    writeOldRow(older, 'm/@v/v1.2.0.zip', 'h1:y=', 3);
    older.close();

    await using manifest = await openIn(folder.path);
    const after = openDatabase(path, { readOnly: true });
    expect(schemaVersion(after, MANIFEST_SCHEMA)).to.equal(MANIFEST_MIGRATIONS.length);
    expect(after.prepare('SELECT last_seen_at FROM namespaces').pluck().get()).to.equal(4003);
    after.close();
    expect(manifest.position('go')).to.equal(3);
    const listed = await manifest.list({ namespace: 'go', limit: 10 });
    expect(listed.entries.map(({ h1 }) => h1)).to.deep.equal(['h1:x=', undefined, 'h1:y=']);
    const seen = async (): Promise<(string | number)[][]> => {
      const { entries } = await manifest.seen({ namespace: 'go', since: 0, limit: 10 });
      return entries.map(({ key, firstSeenAt }) => [key, firstSeenAt]);
    };
    const old = [
      ['m/@v/v1.0.0.zip', 4001],
      ['m/@v/v1.2.0.zip', 4003],
    ];
    expect(await seen()).to.deep.equal(old);
    await manifest.commit([put('m/@v/v1.3.0.zip', 3, { namespace: 'go', h1: 'h1:z=' })]);
    expect((await seen()).map(([key]) => key)).to.deep.equal([
      ...old.map(([key]) => key),
      'm/@v/v1.3.0.zip',
    ]);
  });

  it('gives each entry with an h1 a time of its own while the clock stands or goes back', async () => {
    const clock = new FakeClock();
    const start = clock.now();
    const times = async (): Promise<number[]> => {
      await using manifest = await openIn(folder.path, { clock });
      await manifest.commit(
        Array.from({ length: 5 }, () => put(crypto.randomUUID(), 0, { h1: 'h1:x=' })),
      );
      const { entries } = await manifest.seen({ namespace: 'web', since: 0, limit: 100 });
      return entries.map(({ firstSeenAt }) => firstSeenAt - start);
    };
    expect(await times()).to.deep.equal([0, 1, 2, 3, 4]);
    clock.advance(-60_000);
    expect(await times()).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    clock.advance(120_000);
    expect((await times()).slice(10)).to.deep.equal([60_000, 60_001, 60_002, 60_003, 60_004]);
  });

  it('gives what another process wrote late a later time than what was there by then', async () => {
    const [slow, quick] = [new FakeClock(), new FakeClock()];
    slow.advance(-5000);
    await using one = await openIn(folder.path, { clock: slow });
    await using other = await openIn(folder.path, { clock: quick });
    await other.commit([put('first', 0, { h1: 'h1:x=' })]);
    const [last] = (await other.seen({ namespace: 'web', since: 0, limit: 1 })).entries;
    await one.commit([put('second', 0, { h1: 'h1:x=' })]);
    const since = last?.firstSeenAt ?? 0;
    const { entries } = await other.seen({ namespace: 'web', since, limit: 10 });
    expect(entries.map(({ key }) => key)).to.deep.equal(['first', 'second']);
  });
});
