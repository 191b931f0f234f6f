import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { kindOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { migrate } from '../../src/sqlite/migrations.ts';
import { openDatabase } from '../../src/sqlite/open-database.ts';
import { BodyCache } from '../../src/storage/body-cache.ts';
import { type Digest, digestBytes, digestOf } from '../../src/storage/digest.ts';
import { DiskBackend, type DiskBackendOptions } from '../../src/storage/disk-backend.ts';
import { ENTRY_BYTES } from '../../src/storage/eviction.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { STORAGE_MIGRATIONS, STORAGE_SCHEMA } from '../../src/storage/node-database-schema.ts';
import { contentOf, failureOf } from '../contract/backend-fixture.ts';
import { quotaContract } from '../contract/backend-quota.ts';
import { blobFiles } from '../support/audit-store.ts';
import { incomingOf, sealedBytes } from '../support/incoming.ts';
import { Random } from '../support/random.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';

const clock = new SystemClock();
const MIB = 1024 * 1024;

interface Disk extends AsyncDisposable {
  readonly folder: string;
  readonly root: string;
  readonly metrics: Metrics;
  readonly cache: BodyCache;
  backend: DiskBackend;
  database: NodeDatabase;
  reopen(options?: Partial<DiskBackendOptions>): Promise<void>;
}

async function openDisk(options: Partial<DiskBackendOptions>): Promise<Disk> {
  const folder = await tempFolder();
  const root = join(folder.path, 'blobs');
  const metrics = new Metrics();
  const cache = new BodyCache();
  const keepFree = { kind: 'bytes', bytes: 0 } as const;
  const start = async (more: Partial<DiskBackendOptions>) => {
    const path = join(folder.path, 'node.db');
    const database = await NodeDatabase.open({ path, clock, log: silentLogger });
    const common = { name: 'local', root, database, clock, log: silentLogger, metrics, keepFree };
    return { database, backend: new DiskBackend({ ...common, ...options, ...more }) };
  };
  const close = async (): Promise<void> => {
    await disk.backend[Symbol.asyncDispose]();
    await disk.database[Symbol.asyncDispose]();
  };
  const disk: Disk = {
    ...{ folder: folder.path, root, metrics, cache },
    ...(await start({})),
    reopen: async (more = {}) => {
      await close();
      Object.assign(disk, await start(more));
    },
    [Symbol.asyncDispose]: async () => {
      await close();
      await folder[Symbol.asyncDispose]();
    },
  };
  return disk;
}

quotaContract('disk', async (settings) => await openDisk(settings));

const SIZE = 100_000;
const ROOM = { highWater: 0.95, lowWater: 0.9, maxBytes: 20 * (SIZE + ENTRY_BYTES) };

async function put(disk: Disk, seed: number, size = SIZE): Promise<Digest> {
  const body = incomingOf(seededBytes(size, seed), { expectedSize: size });
  return (await disk.backend.put(body)).digest;
}

async function kept(disk: Disk): Promise<Set<Digest>> {
  const digests = new Set<Digest>();
  for await (const { digest } of disk.backend.list()) digests.add(digest);
  return digests;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('quota of a disk', () => {
  it('meets a quota that was lowered after the next start, oldest first', async () => {
    await using disk = await openDisk({});
    const digests: Digest[] = [];
    for (let seed = 1; seed <= 30; seed++) digests.push(await put(disk, seed));
    await disk.reopen({ limits: ROOM });
    await disk.backend.recover();
    await until(async () => (await kept(disk)).size <= 18);
    expect(await kept(disk)).to.deep.equal(new Set(digests.slice(12)));
    expect(await blobFiles(disk.root, [])).to.have.length(18);
  });

  it('knows after a restart what was asked for before it', async () => {
    await using disk = await openDisk({ limits: ROOM });
    const asked: Digest[] = [];
    for (let seed = 1; seed <= 10; seed++) asked.push(await put(disk, seed));
    for (const digest of asked) await contentOf(await disk.backend.open(digest));
    await disk.reopen();
    for (let seed = 11; seed <= 26; seed++) await put(disk, seed);
    expect([...(await kept(disk))]).to.include.members(asked);
  });

  it('takes what is answered from memory for asked for', async () => {
    const cache = new BodyCache();
    await using disk = await openDisk({ limits: ROOM, cache });
    const digest = await put(disk, 1);
    const other = await put(disk, 2);
    for (const seed of [1, 2]) cache.set(seed === 1 ? digest : other, seededBytes(SIZE, seed));
    for (let seed = 3; seed <= 60; seed++) {
      await put(disk, seed);
      cache.get(digest);
    }
    const left = await kept(disk);
    expect([left.has(digest), left.has(other)]).to.deep.equal([true, false]);
  });

  it('evicts for keepFree, and takes what comes', async function () {
    await using folder = await tempFolder();
    const run = promisify(execFile);
    const mounted = await run('mount', [
      '-t',
      'tmpfs',
      '-o',
      'size=24m',
      'tmpfs',
      folder.path,
    ]).then(
      () => true,
      () => false,
    );
    skipUnless(this, mounted, 'a file system of 24 MiB cannot be mounted here', { exempt: true });
    try {
      const keepFree = { kind: 'bytes', bytes: 12 * MIB } as const;
      const limits = { ...ROOM, maxBytes: 1000 * MIB };
      const options = { root: folder.path, keepFree, limits };
      await using disk = await openDisk(options);
      let last: Digest | undefined;
      for (let seed = 1; seed <= 30; seed++) {
        last = await put(disk, seed, MIB);
        const { bavail, bsize } = await statfs(folder.path);
        expect(bavail * bsize).to.be.at.least(11 * MIB);
      }
      const left = await kept(disk);
      expect(left.has(last as Digest)).to.equal(true);
      expect(left.size).to.be.at.least(8);
      await disk.reopen({ limits: undefined });
      const refused = await failureOf(put(disk, 31, 2 * MIB));
      expect(kindOf(refused)).to.equal('unavailable');
    } finally {
      await run('umount', [folder.path]);
    }
  });
});

describe('node database, for eviction', () => {
  it('knows what each backend holds, whatever is put, changed and dropped', async () => {
    await using disk = await openDisk({});
    const { database } = disk;
    const random = new Random(3);
    for (let step = 0; step < 300; step++) {
      const bytes = seededBytes(random.integer(0, 300), random.integer(0, 20));
      const sealed = { ...sealedBytes(bytes), modifiedAt: step };
      const isForeign = random.integer(0, 3) === 0;
      if (random.integer(0, 3) === 0) await database.drop('a', sealed.digest);
      else await database.put('a', { ...sealed, ...(isForeign ? { isForeign } : { body: bytes }) });
    }
    let bytes = 0;
    let entries = 0;
    for await (const { size } of database.blobs('a')) {
      bytes += size;
      entries++;
    }
    expect(entries).to.be.greaterThan(3);
    expect(database.ages.totals('a')).to.deep.equal({ bytes, entries });
    expect(database.ages.totals('b')).to.deep.equal({ bytes: 0, entries: 0 });
  });

  it('takes over a file of the version before', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'node.db');
    const old = openDatabase(path);
    migrate(old, STORAGE_SCHEMA, STORAGE_MIGRATIONS.slice(0, 1));
    const add = old.prepare('INSERT INTO blobs VALUES (?, ?, ?, NULL, ?, ?, ?)');
    for (let at = 1; at <= 5; at++)
      add.run('local', digestBytes(digestOf(Buffer.from([at]))), at, at === 5 ? -1 : 0, at, 2);
    old.close();
    await using database = await NodeDatabase.open({ path, clock, log: silentLogger });
    expect(database.ages.totals('local')).to.deep.equal({ bytes: 10, entries: 4 });
    const page = database.ages.page('local', database.ages.hand('local'), 10);
    expect(page.map(({ size, visited }) => [size, visited])).to.deep.equal([
      [1, true],
      [2, false],
      [3, false],
      [4, false],
    ]);
  });

  it('F-66: 10,000 hits are at most a few writes', async () => {
    await using disk = await openDisk({});
    const digests: Digest[] = [];
    for (let seed = 1; seed <= 50; seed++) digests.push(await put(disk, seed, 100));
    const other = openDatabase(disk.database.path, { readOnly: true });
    const version = other.prepare('PRAGMA data_version').pluck();
    const seen = new Set([version.get()]);
    for (let hit = 0; hit < 10_000; hit++) {
      await disk.backend.open(digests[hit % 50] as Digest);
      if (hit % 10 === 0) seen.add(version.get());
    }
    other.close();
    expect(seen.size).to.be.at.most(10);
  });
});
