import { open, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { kindOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { type BlobRecord, NodeDatabase } from '../../src/storage/node-database.ts';
import { failureOf } from '../contract/backend-fixture.ts';
import { sealedBytes } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const clock = new SystemClock();

async function openIn(folder: string): Promise<NodeDatabase> {
  return await NodeDatabase.open({ path: join(folder, 'node.db'), clock, log: silentLogger });
}

function recordOf(body: Buffer): BlobRecord & { readonly body: Buffer } {
  return { ...sealedBytes(body), modifiedAt: 1_700_000_000_000, body };
}

function countOf(database: NodeDatabase, table: 'blobs' | 'small_bodies'): number {
  const other = new Database(database.path, { readonly: true });
  try {
    return other.prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get() as number;
  } finally {
    other.close();
  }
}

describe('NodeDatabase', () => {
  it('gives back what was put, at once and after a restart', async () => {
    await using folder = await tempFolder();
    const record = recordOf(seededBytes(1000));
    for (const database of [await openIn(folder.path), await openIn(folder.path)]) {
      if (countOf(database, 'blobs') === 0) await database.put('local', record);
      const row = database.blob('local', record.digest);
      expect(row).to.include({ digest: record.digest, size: 1000, modifiedAt: record.modifiedAt });
      expect(row?.blocks.equals(record.blocks)).to.equal(true);
      expect(database.smallBody(row?.place ?? 0)?.equals(record.body)).to.equal(true);
      await database[Symbol.asyncDispose]();
    }
  });

  it('keeps one row and one body of a blob that is put again', async () => {
    await using folder = await tempFolder();
    await using database = await openIn(folder.path);
    const record = recordOf(seededBytes(1000));
    await Promise.all([1, 2, 3].map(async () => await database.put('local', record)));
    await database.put('local', record);
    expect([countOf(database, 'blobs'), countOf(database, 'small_bodies')]).to.deep.equal([1, 1]);
    await database.put('local', { ...record, body: undefined });
    expect([countOf(database, 'blobs'), countOf(database, 'small_bodies')]).to.deep.equal([1, 0]);
  });

  it('keeps the backends of a node apart', async () => {
    await using folder = await tempFolder();
    await using database = await openIn(folder.path);
    const record = recordOf(seededBytes(1000));
    await database.put('one', record);
    await database.put('two', record);
    expect(await database.drop('one', record.digest)).to.equal(true);
    expect(await database.drop('one', record.digest)).to.equal(false);
    expect(database.blob('one', record.digest)).to.equal(undefined);
    const place = database.blob('two', record.digest)?.place ?? 0;
    expect(database.smallBody(place)?.equals(record.body)).to.equal(true);
  });

  it('drops a row only if it is still the one that was meant', async () => {
    await using folder = await tempFolder();
    await using database = await openIn(folder.path);
    const record = recordOf(seededBytes(1000));
    await database.put('local', record);
    expect(await database.drop('local', record.digest, record.modifiedAt - 1)).to.equal(false);
    expect(await database.drop('local', record.digest, record.modifiedAt)).to.equal(true);
    expect(countOf(database, 'small_bodies')).to.equal(0);
  });

  it('evicts what was not put again or used since it was looked at, and knows at once what is left', async () => {
    await using folder = await tempFolder();
    const first = await openIn(folder.path);
    const [kept, gone] = [recordOf(seededBytes(1000, 1)), recordOf(seededBytes(700, 2))];
    for (const record of [kept, gone]) await first.put('local', record);
    expect(first.ages.totals('local')).to.deep.equal({ bytes: 1700, entries: 2 });
    first.used('local', kept.digest);
    await first[Symbol.asyncDispose]();

    await using database = await openIn(folder.path);
    expect(await database.evict('local', kept)).to.equal(false);
    expect(await database.evict('local', { ...gone, modifiedAt: 1 })).to.equal(false);
    expect(database.ages.totals('local')).to.deep.equal({ bytes: 1700, entries: 2 });
    expect(await database.evict('local', gone)).to.equal(true);
    expect(database.ages.totals('local')).to.deep.equal({ bytes: 1000, entries: 1 });
    expect([countOf(database, 'blobs'), countOf(database, 'small_bodies')]).to.deep.equal([1, 1]);
    await database.passed('local', [kept.digest], kept);
    expect(await database.evict('local', kept)).to.equal(true);
    expect(database.ages.totals('local')).to.deep.equal({ bytes: 0, entries: 0 });
  });

  it('waits for another writer of the file instead of failing', async () => {
    await using folder = await tempFolder();
    await using database = await openIn(folder.path);
    const other = new Database(database.path);
    other.exec('BEGIN IMMEDIATE');
    const putting = database.put('local', recordOf(Buffer.from('x')));
    const timer = setTimeout(() => other.exec('COMMIT'), 300);
    await putting;
    clearTimeout(timer);
    other.close();
    expect(database.blob('local', digestOf(Buffer.from('x')))?.size).to.equal(1);
  });

  it('puts a file aside that is no database and makes a new one', async () => {
    await using folder = await tempFolder();
    await writeFile(
      join(folder.path, 'node.db'),
      'this is not a database, though it is long enough to look',
    );
    await using database = await openIn(folder.path);
    expect(database.isNew).to.equal(true);
    await database.put('local', recordOf(Buffer.from('x')));
    const names = await readdir(folder.path);
    expect(names.filter((name) => name.startsWith('node.db.damaged-')).length).to.equal(1);
  });

  it('replaces a file at the next start that was found damaged while in use', async () => {
    await using folder = await tempFolder();
    const database = await openIn(folder.path);
    const bodies = Array.from({ length: 300 }, (_, index) => recordOf(seededBytes(2000, index)));
    await Promise.all(bodies.map(async (record) => await database.put('local', record)));
    await database[Symbol.asyncDispose]();
    const file = new Database(join(folder.path, 'node.db'));
    file.pragma('wal_checkpoint(TRUNCATE)');
    const pages = file.pragma('page_count', { simple: true }) as number;
    const size = file.pragma('page_size', { simple: true }) as number;
    file.close();
    // The first pages, with the schema and the roots, stay whole: the file opens.
    const handle = await open(join(folder.path, 'node.db'), 'r+');
    const from = 6 * size;
    await handle.write(Buffer.alloc(pages * size - from, 0xff), 0, pages * size - from, from);
    await handle.close();
    const again = await openIn(folder.path);
    for (const { digest } of bodies) again.blob('local', digest);
    await again[Symbol.asyncDispose]();
    const third = await openIn(folder.path);
    expect(third.isNew).to.equal(true);
    await third[Symbol.asyncDispose]();
  });

  it('fails with "unavailable" where its folder cannot be made', async () => {
    await using folder = await tempFolder();
    await writeFile(join(folder.path, 'file'), '');
    const failure = await failureOf(openIn(join(folder.path, 'file')));
    expect(kindOf(failure)).to.equal('unavailable');
  });
});
