import { copyFile, cp, mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import type { SqliteDatabase } from '../../src/sqlite/open-database.ts';
import { type Digest, digestBytes, digestOf } from '../../src/storage/digest.ts';
import { DiskBackend } from '../../src/storage/disk-backend.ts';
import { MemoryBackend } from '../../src/storage/memory-backend.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { audit, expectSound } from '../support/auditor.ts';
import { incomingOf } from '../support/incoming.ts';
import { openIn, put, remove } from '../support/manifest-fixtures.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const clock = new SystemClock();
const SMALL = seededBytes(1000);
const LARGE = seededBytes(3_000_000);
const ORPHAN = seededBytes(200_000);
const fileOf = (folder: string, digest: Digest): string =>
  join(folder, 'blobs', digest.slice(0, 2), digest);

/** A data folder as a node leaves it: a small and a large body, a deleted entry, a body that nothing names. */
async function fill(folder: string): Promise<void> {
  const log = silentLogger;
  await using database = await NodeDatabase.open({ path: join(folder, 'node.db'), clock, log });
  await using backend = new DiskBackend({
    ...{ name: 'local', root: join(folder, 'blobs'), database, clock, log },
    metrics: new Metrics(),
    keepFree: { kind: 'bytes', bytes: 0 },
  });
  for (const bytes of [SMALL, LARGE, ORPHAN]) await backend.put(incomingOf(bytes));
  await using manifest = await openIn(folder);
  await manifest.commit([
    put('small', 0, { digest: digestOf(SMALL), size: SMALL.length }),
    put('large', 0, { digest: digestOf(LARGE), size: LARGE.length }),
    put('gone', 0, { digest: digestOf(SMALL), size: SMALL.length }),
  ]);
  await manifest.commit([remove('gone')]);
}

function edit(path: string, change: (database: SqliteDatabase) => void): void {
  const database = new Database(path);
  database.pragma('foreign_keys = OFF');
  change(database);
  database.close();
}

/** Damage by its name: what is done, and what the auditor has to say of it. */
const PLANTED: Readonly<Record<string, readonly [(folder: string) => unknown, RegExp]>> = {
  'a missing file': [
    async (folder) => await rm(fileOf(folder, digestOf(LARGE))),
    /file is missing/,
  ],
  'a cut file': [
    async (folder) => await truncate(fileOf(folder, digestOf(LARGE)), 2_999_999),
    /has 2999999 bytes, not 3000000/,
  ],
  'a changed file': [
    async (folder) => {
      const bytes = Buffer.from(LARGE);
      bytes[1_500_000] = (bytes[1_500_000] ?? 0) ^ 1;
      await writeFile(fileOf(folder, digestOf(LARGE)), bytes);
    },
    /another digest/,
  ],
  'a folder in the place of a file': [
    async (folder) => {
      await rm(fileOf(folder, digestOf(LARGE)));
      await mkdir(fileOf(folder, digestOf(LARGE)));
    },
    /no plain file/,
  ],
  'a file of another name': [
    async (folder) =>
      await copyFile(fileOf(folder, digestOf(LARGE)), join(folder, 'blobs', 'stray')),
    /is no blob/,
  ],
  'a spool file': [
    async (folder) => {
      await mkdir(join(folder, 'spool', '1-1'), { recursive: true });
      await writeFile(join(folder, 'spool', '1-1', '0'), 'x');
    },
    /spool.* was left/,
  ],
  'a temporary file of the store': [
    async (folder) => {
      await mkdir(join(folder, 'blobs', 'tmp'), { recursive: true });
      await writeFile(join(folder, 'blobs', 'tmp', '1-1.x'), 'x');
    },
    /tmp.* was left/,
  ],
  'a changed small body': [
    (folder) =>
      edit(join(folder, 'node.db'), (database) =>
        database.prepare('UPDATE small_bodies SET body = ?').run(seededBytes(1000, 'other')),
      ),
    /small body has another digest/,
  ],
  'a lost small body': [
    (folder) =>
      edit(join(folder, 'node.db'), (database) => database.exec('DELETE FROM small_bodies')),
    /small body is missing/,
  ],
  'a small body of no blob': [
    (folder) =>
      edit(join(folder, 'node.db'), (database) =>
        database.prepare('INSERT INTO small_bodies (id, body) VALUES (99, ?)').run(SMALL),
      ),
    /small body 99 belongs to no blob/,
  ],
  'wrong block digests': [
    (folder) =>
      edit(join(folder, 'node.db'), (database) =>
        database
          .prepare('UPDATE blobs SET blocks = ? WHERE digest = ?')
          .run(Buffer.alloc(96), digestBytes(digestOf(LARGE))),
      ),
    /block digests do not fit/,
  ],
  'a row before its body': [
    (folder) => edit(join(folder, 'node.db'), (database) => database.exec('DELETE FROM blobs')),
    /entry large: has no whole body/,
  ],
  'a row of another length': [
    (folder) =>
      edit(join(folder, 'manifest.db'), (database) =>
        database.exec(`UPDATE entries SET size = 999 WHERE key = 'small'`),
      ),
    /entry small: says 999 bytes, has 1000/,
  ],
  'a flipped bit in a row': [
    (folder) =>
      edit(join(folder, 'manifest.db'), (database) =>
        database.exec(`UPDATE entries SET status = 201 WHERE key = 'small'`),
      ),
    /entry web small: its row sum/,
  ],
  'a gap in the journal': [
    (folder) =>
      edit(join(folder, 'manifest.db'), (database) =>
        database.exec('DELETE FROM journal WHERE jid = 2'),
      ),
    /journal web: 3 follows 1/,
  ],
  'a lost end of the journal': [
    (folder) =>
      edit(join(folder, 'manifest.db'), (database) =>
        database.exec('DELETE FROM journal WHERE jid = (SELECT max(jid) FROM journal)'),
      ),
    /the next number is 5/,
  ],
  'an entry that the journal tells otherwise': [
    (folder) =>
      edit(join(folder, 'manifest.db'), (database) =>
        database.exec(`UPDATE journal SET digest = 'x' WHERE jid = 1`),
      ),
    /1 names another body/,
  ],
  'a damaged database': [
    async (folder) => await truncate(join(folder, 'manifest.db'), 9000),
    /manifest\.db: /,
  ],
  'a lost database': [async (folder) => await rm(join(folder, 'node.db')), /node\.db is missing/],
};

describe('auditor', () => {
  let filled: TempFolder;
  let folder: TempFolder;

  before(async () => {
    filled = await tempFolder();
    await fill(filled.path);
  });

  after(async () => {
    await filled[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    folder = await tempFolder();
    await cp(filled.path, folder.path, { recursive: true });
  });

  afterEach(async () => {
    await folder[Symbol.asyncDispose]();
  });

  it('finds nothing wrong with a sound folder, and counts entries and orphans', async () => {
    const { problems, entries, orphans, leftovers } = await audit({ dataDir: folder.path });
    expect(problems).to.deep.equal([]);
    expect(entries).to.equal(2);
    expect(orphans).to.deep.equal([`${digestOf(ORPHAN)}: a body that no entry names`]);
    expect(leftovers).to.deep.equal([]);
  });

  for (const [name, [plant, expected]] of Object.entries(PLANTED)) {
    it(`finds ${name}`, async () => {
      await plant(folder.path);
      const { problems } = await audit({ dataDir: folder.path });
      expect(problems.join('\n')).to.match(expected);
      const failure = await expectSound({ dataDir: folder.path }).catch((error: unknown) => error);
      expect(failure).to.be.instanceOf(Error);
    });
  }

  it('takes temporary files for no problem right after a crash', async () => {
    await mkdir(join(folder.path, 'spool'));
    await writeFile(join(folder.path, 'spool', 'x'), 'x');
    const result = await expectSound({ dataDir: folder.path, leftovers: true });
    expect(result.leftovers.length).to.equal(1);
  });

  it('counts a file that lost its blob row as an orphan', async () => {
    edit(join(folder.path, 'node.db'), (database) =>
      database.prepare('DELETE FROM blobs WHERE digest = ?').run(digestBytes(digestOf(ORPHAN))),
    );
    const { problems, orphans } = await audit({ dataDir: folder.path });
    expect(problems).to.deep.equal([]);
    expect(orphans).to.deep.equal([`local ${digestOf(ORPHAN)}: a file without a blob row`]);
  });

  it('looks for bodies in other backends too', async () => {
    edit(join(folder.path, 'node.db'), (database) => database.exec('DELETE FROM blobs'));
    edit(join(folder.path, 'node.db'), (database) => database.exec('DELETE FROM small_bodies'));
    await using memory = new MemoryBackend({
      name: 'far',
      clock,
      log: silentLogger,
      metrics: new Metrics(),
    });
    for (const bytes of [SMALL, LARGE]) await memory.put(incomingOf(bytes));
    const result = await audit({ dataDir: folder.path, backends: [memory] });
    expect(result.problems).to.deep.equal([]);
    expect(result.entries).to.equal(2);
  });
});
