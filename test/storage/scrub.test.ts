import {
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { type Digest, digestBytes, digestOf } from '../../src/storage/digest.ts';
import { DiskBackend } from '../../src/storage/disk-backend.ts';
import { MemoryBackend } from '../../src/storage/memory-backend.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { QuarantineFolder } from '../../src/storage/quarantine-folder.ts';
import { contentOf, failureOf } from '../contract/backend-fixture.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const MIB = 1024 * 1024;
const DAY_MS = 86_400_000;

interface Disk extends AsyncDisposable {
  readonly root: string;
  readonly path: string;
  readonly clock: FakeClock;
  readonly metrics: Metrics;
  readonly backend: DiskBackend;
}

async function openDisk(verify = true): Promise<Disk> {
  const folder = await tempFolder();
  const root = join(folder.path, 'blobs');
  const clock = new FakeClock();
  const metrics = new Metrics();
  const path = join(folder.path, 'node.db');
  const log = silentLogger;
  const database = await NodeDatabase.open({ path, clock, log });
  const keepFree = { kind: 'bytes', bytes: 0 } as const;
  const name = 'local';
  const options = { name, root, database, clock, log, metrics, keepFree, verify };
  const backend = new DiskBackend(options);
  return {
    ...{ root, path, clock, metrics, backend },
    [Symbol.asyncDispose]: async () => {
      await backend[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

const fileOf = ({ root }: Disk, digest: Digest): string => join(root, digest.slice(0, 2), digest);
const asideOf = ({ root }: Disk, digest: Digest): string => join(root, 'quarantine', digest);

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

describe('scrubbing a disk', () => {
  for (const size of [0, 1, 65_536, 100_000, 3 * MIB + 1]) {
    it(`finds a body of ${size} bytes whole, by its rate and without using it`, async () => {
      await using disk = await openDisk();
      const { digest } = await disk.backend.put(incomingOf(seededBytes(size)));
      const paced: number[] = [];
      const pace = async (bytes: number): Promise<void> => void paced.push(bytes);
      disk.clock.advance(DAY_MS);
      expect(await disk.backend.scrub(digest, { pace })).to.equal('whole');
      expect(paced.reduce((sum, bytes) => sum + bytes, 0)).to.equal(size);
      expect(Math.max(0, ...paced)).to.be.at.most(MIB);
      // Two uses a minute apart are written; a scrub would be the one that is.
      const database = new Database(disk.path);
      const used = database.prepare('SELECT last_used - modified_at FROM blobs').pluck().get();
      database.close();
      expect(used).to.equal(0);
    });
  }

  const damages: Readonly<Record<string, (path: string) => Promise<void>>> = {
    'a flipped bit at its start': async (path) => await flip(path, 0),
    'a flipped bit at its end': async (path) => await flip(path, 3 * MIB - 1),
    'its end cut off': async (path) => await truncate(path, 1000),
    'bytes after its end': async (path) => await writeFile(path, 'x', { flag: 'a' }),
    'a folder in its place': async (path) => {
      await rm(path);
      await mkdir(path);
      await writeFile(join(path, 'inside'), 'x');
    },
    'a link in its place': async (path) => {
      await rename(path, `${path}.elsewhere`);
      await symlink(`${path}.elsewhere`, path);
    },
  };

  for (const [name, damage] of Object.entries(damages)) {
    for (const verify of [true, false]) {
      it(`puts a body with ${name} aside, verify: ${verify}`, async () => {
        await using disk = await openDisk(verify);
        const bytes = seededBytes(3 * MIB);
        const { digest } = await disk.backend.put(incomingOf(bytes));
        const other = await disk.backend.put(incomingOf(seededBytes(MIB, 'other')));
        await damage(fileOf(disk, digest));
        disk.clock.advance(DAY_MS);
        expect(await disk.backend.scrub(digest)).to.equal('damaged');
        expect(disk.metrics.value('corrupt_blobs_total')).to.equal(1);
        expect(await disk.backend.open(digest)).to.equal(undefined);
        expect(await readdir(join(disk.root, 'quarantine'))).to.deep.equal([digest]);
        const aside = await Array.fromAsync(disk.backend.quarantined());
        expect(aside.map((one) => [one.digest, one.modifiedAt])).to.deep.equal([
          [digest, disk.clock.now()],
        ]);
        expect(await disk.backend.scrub(digest)).to.equal('absent');
        expect(await disk.backend.scrub(other.digest)).to.equal('whole');
        await disk.backend.put(incomingOf(bytes));
        expect((await contentOf(await disk.backend.open(digest))).equals(bytes)).to.equal(true);
        expect(await disk.backend.release(digest)).to.equal(true);
        expect(await disk.backend.release(digest)).to.equal(false);
        expect(await Array.fromAsync(disk.backend.quarantined())).to.deep.equal([]);
        expect(disk.metrics.value('corrupt_blobs_total')).to.equal(1);
      });
    }
  }

  it('puts a small body aside that is damaged in the database', async () => {
    await using disk = await openDisk(false);
    const { digest } = await disk.backend.put(incomingOf(seededBytes(2000)));
    const database = new Database(disk.path, { timeout: 5000 });
    database.prepare('UPDATE small_bodies SET body = ?').run(Buffer.alloc(2000));
    database.close();
    expect(await disk.backend.scrub(digest)).to.equal('damaged');
    expect((await readFile(asideOf(disk, digest))).equals(Buffer.alloc(2000))).to.equal(true);
  });

  it('counts a missing file as missing, and puts nothing aside', async () => {
    await using disk = await openDisk();
    const { digest } = await disk.backend.put(incomingOf(seededBytes(100_000)));
    await rm(fileOf(disk, digest));
    expect(await disk.backend.scrub(digest)).to.equal('missing');
    expect(await disk.backend.scrub(digest)).to.equal('absent');
    expect(disk.metrics.value('missing_blobs_total')).to.equal(1);
    expect(await Array.fromAsync(disk.backend.quarantined())).to.deep.equal([]);
  });

  it('corrects wrong block digests of a right body instead of accusing it', async () => {
    await using disk = await openDisk();
    const bytes = seededBytes(3 * MIB);
    const { digest } = await disk.backend.put(incomingOf(bytes));
    const database = new Database(disk.path, { timeout: 5000 });
    database
      .prepare('UPDATE blobs SET blocks = ? WHERE digest = ?')
      .run(Buffer.alloc(96), digestBytes(digest));
    database.close();
    expect(await disk.backend.scrub(digest)).to.equal('whole');
    expect((await contentOf(await disk.backend.open(digest))).equals(bytes)).to.equal(true);
    expect(disk.metrics.value('corrupt_blobs_total')).to.equal(0);
  });

  it('F-26: many who meet the damage at once raise one alarm, and it is put aside at once', async () => {
    await using disk = await openDisk();
    const { digest } = await disk.backend.put(incomingOf(seededBytes(100_000)));
    await flip(fileOf(disk, digest), 50_000);
    const { backend } = disk;
    const opened = await Promise.all([
      ...Array.from({ length: 20 }, async () => await backend.open(digest)),
      backend.scrub(digest).then(() => undefined),
    ]);
    expect(opened.every((one) => one === undefined)).to.equal(true);
    expect(disk.metrics.value('corrupt_blobs_total')).to.equal(1);
    expect((await lstat(asideOf(disk, digest))).size).to.equal(100_000);
  });

  it('says nothing against a body that is removed while it is read', async () => {
    await using disk = await openDisk();
    const { digest } = await disk.backend.put(incomingOf(seededBytes(3 * MIB)));
    const pace = async (): Promise<void> => void (await disk.backend.delete(digest));
    expect(await disk.backend.scrub(digest, { pace })).to.equal('whole');
    expect(disk.metrics.value('corrupt_blobs_total')).to.equal(0);
    expect(disk.metrics.value('missing_blobs_total')).to.equal(0);
  });

  it('stops within a body when told to', async () => {
    await using disk = await openDisk();
    const { digest } = await disk.backend.put(incomingOf(seededBytes(3 * MIB)));
    const stop = new AbortController();
    const pace = async (): Promise<void> => stop.abort();
    await failureOf(disk.backend.scrub(digest, { pace, signal: stop.signal }));
    expect(await disk.backend.scrub(digest)).to.equal('whole');
  });
});

describe('scrubbing memory', () => {
  it('drops a body that is damaged', async () => {
    const metrics = new Metrics();
    const options = { name: 'ram', clock: new FakeClock(), log: silentLogger, metrics };
    await using backend = new MemoryBackend(options);
    const incoming = incomingOf(seededBytes(3 * MIB));
    const { digest } = await backend.put(incoming);
    expect(await backend.scrub(digest)).to.equal('whole');
    const opened = await backend.open(digest);
    // What is handed out is what is kept.
    for await (const piece of opened?.body ?? []) (piece as Buffer).fill(0);
    expect(await backend.scrub(digest)).to.equal('damaged');
    expect(await backend.scrub(digest)).to.equal('absent');
    expect(metrics.value('corrupt_blobs_total')).to.equal(1);
  });
});

describe('QuarantineFolder', () => {
  it('keeps the newest within its bound, and leaves what it did not name', async () => {
    await using folder = await tempFolder();
    const clock = new FakeClock();
    const quarantine = new QuarantineFolder(join(folder.path, 'q'), clock, 250);
    const digests: Digest[] = [];
    for (const seed of ['a', 'b', 'c']) {
      const bytes = seededBytes(100, seed);
      digests.push(digestOf(bytes));
      await quarantine.write(digestOf(bytes), bytes);
      clock.advance(1000);
    }
    await writeFile(join(folder.path, 'q', 'notes'), 'mine');
    const kept = (await Array.fromAsync(quarantine.list())).map(({ digest }) => digest);
    expect(kept).to.deep.equal(digests.slice(1).sort());
    expect((await stat(join(folder.path, 'q', 'notes'))).size).to.equal(4);
  });
});
