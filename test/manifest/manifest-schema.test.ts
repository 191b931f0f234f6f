import { join } from 'node:path';
import { expect } from 'chai';
import { kindOf, messageOf } from '../../src/errors.ts';
import {
  FRESHNESS_MIGRATIONS,
  FRESHNESS_SCHEMA,
  MANIFEST_MIGRATIONS,
  MANIFEST_SCHEMA,
} from '../../src/manifest/schema.ts';
import { migrate } from '../../src/sqlite/migrations.ts';
import { openDatabase, type SqliteDatabase } from '../../src/sqlite/open-database.ts';
import { newEntry, openIn, put } from '../support/manifest-fixtures.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

function tablesOf(database: SqliteDatabase): string[] {
  return database
    .prepare(
      `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`,
    )
    .pluck()
    .all() as string[];
}

/** A value of the column's own type, so that a row of any table can be made. */
function valueFor(type: string): string {
  return type === 'INTEGER' ? '1' : `'x'`;
}

describe('manifest schema', () => {
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'manifest.db');
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  it('M2: has a column for each thing an entry says, and none for bodies', async () => {
    const entry = newEntry('a', { vary: ['accept'] });
    await using manifest = await openIn(folder.path);
    await manifest.commit([put('a', 0, { vary: ['accept'] })]);
    const database = openDatabase(path, { readOnly: true });
    const row = database.prepare('SELECT * FROM entries').get() as Record<string, unknown>;
    database.close();
    expect(row).to.include({
      method: 'GET',
      url: entry.url,
      public_host: entry.publicHost,
      status: 200,
      jid: 1,
    });
    expect(row).to.include({
      digest: entry.digest,
      size: 1,
      request_headers: '[]',
      vary: '["accept"]',
    });
    expect(row['response_headers']).to.equal('["Content-Type","text/html","ETag","\\"1\\""]');
    expect(JSON.parse(row['policy'] as string)).to.deep.equal(entry.policy);
    expect(Object.values(row).some((value) => value instanceof Uint8Array)).to.equal(false);
    expect(Object.keys(row)).not.to.include('body');
  });

  for (const [name, migrations] of [
    [MANIFEST_SCHEMA, MANIFEST_MIGRATIONS],
    [FRESHNESS_SCHEMA, FRESHNESS_MIGRATIONS],
  ] as const) {
    it(`M11: keeps updated_at on every table of ${name}`, () => {
      const database = openDatabase(path);
      migrate(database, name, migrations);
      database.pragma('foreign_keys = OFF');
      const tables = tablesOf(database);
      for (const table of tables) {
        const columns = (
          database.pragma(`table_info(${table})`) as { name: string; type: string }[]
        ).filter((column) => column.name !== 'updated_at');
        const names = columns.map((column) => column.name);
        const values = columns.map(({ type }) => valueFor(type));
        database.exec(
          `INSERT OR IGNORE INTO ${table} (${names.join(', ')}) VALUES (${values.join(', ')})`,
        );
        const times = (): number[] =>
          database.prepare(`SELECT updated_at FROM ${table}`).pluck().all() as number[];
        const before = times();
        database.exec(`UPDATE ${table} SET ${names.at(-1)} = ${values.at(-1)}`);
        for (const [row, time] of times().entries()) {
          expect(time, `${table}, row ${row}`).to.be.greaterThan(before[row] as number);
        }
        expect(before, table).not.to.have.length(0);
      }
      database.close();
      expect(tables).to.include('schema_versions').and.have.length.greaterThan(1);
    });
  }

  it('M11: a row changed by hand in another column than updated_at fails its checksum', async () => {
    await using manifest = await openIn(folder.path, { indexBytes: 1 });
    await manifest.commit([put('a'), put('b')]);
    const database = openDatabase(path);
    database.exec(
      `UPDATE entries SET updated_at = 5 WHERE key = 'a'; UPDATE entries SET status = 201 WHERE key = 'b'`,
    );
    database.close();
    expect(await manifest.lookup('web', 'a')).to.have.length(1);
    expect(await manifest.lookup('web', 'b')).to.deep.equal([]);
  });

  it('M12: an older schema is migrated', async () => {
    const older = openDatabase(path);
    migrate(older, MANIFEST_SCHEMA, []);
    older.exec('CREATE TABLE other (x)');
    older.close();
    await using manifest = await openIn(folder.path);
    const [result] = await manifest.commit([put('a')]);
    expect(result?.outcome).to.equal('committed');
  });

  it('M12: a newer schema is refused, and the message says what to do', async () => {
    const newer = openDatabase(path);
    migrate(newer, MANIFEST_SCHEMA, [
      ...MANIFEST_MIGRATIONS,
      { version: MANIFEST_MIGRATIONS.length + 1, sql: 'CREATE TABLE later (x)' },
    ]);
    newer.close();
    try {
      await using _ = await openIn(folder.path);
      expect.fail('a newer schema was opened');
    } catch (error) {
      expect(kindOf(error)).to.equal('conflict');
      expect(messageOf(error))
        .to.include(path)
        .and.include(`version ${MANIFEST_MIGRATIONS.length + 1}`)
        .and.include('newer caje');
    }
  });
});
