import { join } from 'node:path';
import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { openDatabase } from '../../src/sqlite/open-database.ts';
import { openIn, put } from '../support/manifest-fixtures.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const DAY_MS = 86_400_000;

describe('SqliteManifest over time and size', () => {
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'manifest.db');
    await using manifest = await openIn(folder.path);
    await manifest.commit(Array.from({ length: 1500 }, (_, i) => put(`k${i}`)));
    await manifest.purge({
      kind: 'key',
      value: 'k0',
      namespace: 'web',
      soft: false,
      actor: 'test',
    });
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  it('forgets journal rows past a week and purges past a day, and says gone to older cursors', async () => {
    const database = openDatabase(path);
    database.prepare('UPDATE journal SET at = ? WHERE jid <= 1200').run(Date.now() - 8 * DAY_MS);
    database.prepare('UPDATE purges SET at = ?').run(Date.now() - 2 * DAY_MS);
    database.close();
    await using manifest = await openIn(folder.path);
    const cursor = (await manifest.journal('web', '', 1)).cursor;
    expect(cursor).to.match(/:1$/);
    await manifest.commit([put('later', 1502)]);
    expect(await manifest.journal('web', cursor, 10).catch(kindOf)).to.equal('gone');
    const kept = await manifest.journal('web', '', 1000);
    expect([kept.rows[0]?.jid, kept.rows.at(-1)?.jid]).to.deep.equal([1001, 1503]);
    // What began before a purge that is no longer kept is refused, whatever its key.
    expect(await manifest.commit([put('k7', 1500)])).to.deep.equal([{ outcome: 'purged' }]);
    expect((await manifest.commit([put('k7', 1501)]))[0]?.outcome).to.equal('committed');
  });

  it('keeps totals beside the rows', () => {
    const database = openDatabase(path, { readOnly: true });
    const totals = database.prepare('SELECT name, value FROM counters ORDER BY name').raw().all();
    const sums = database
      .prepare('SELECT sum(size), count(*) FROM entries WHERE deleted = 0')
      .raw()
      .get();
    database.close();
    expect(totals.map((row) => (row as [string, number])[1])).to.deep.equal(sums);
  });

  it('is ready within 5 s with 100,000 entries and pages through them', async () => {
    const database = openDatabase(path);
    const columns = (database.pragma('table_info(entries)') as { name: string }[]).map(
      ({ name }) => name,
    );
    const copied = columns.map((name) => (name === 'key' ? `'n' || n.value` : `e.${name}`));
    database.exec(`
      INSERT INTO entries (${columns.join(', ')}) SELECT ${copied.join(', ')}
      FROM (SELECT * FROM entries WHERE key = 'k1') e, (
        WITH RECURSIVE count (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM count WHERE value < 100000)
        SELECT value FROM count) n`);
    database.close();
    const start = performance.now();
    await using manifest = await openIn(folder.path);
    expect(await manifest.lookup('web', 'k1')).to.have.length(1);
    expect(performance.now() - start).to.be.lessThan(5000);
    expect((await manifest.list({ prefix: 'k1', limit: 1000 })).entries).to.have.length(611);
  });
});
