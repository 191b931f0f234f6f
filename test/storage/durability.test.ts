import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { DiskBackend } from '../../src/storage/disk-backend.ts';
import { FolderSync } from '../../src/storage/folder-sync.ts';
import { SMALL_BODY } from '../../src/storage/small-body.ts';
import { UNSYNCED_NOTE } from '../../src/storage/unsynced-bodies.ts';
import { expectBytes, failureOf } from '../contract/backend-fixture.ts';
import { type SeenCall, seenCalls, traceObstacle } from '../soak/system-calls.ts';
import { incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';
import { type Disk, openDisk, pathOf } from './disk-place.ts';

/** Far longer than it takes from one thread to another. */
const SLOW_MS = 100;
const SYNCS = ['fsync', 'fdatasync'];
const CALLS = [...SYNCS, 'rename', 'renameat', 'renameat2'];

/** The calls of this process that make what lies below the disk's folder durable, or give files their names. */
async function callsOf(disk: Disk, work: () => Promise<void>): Promise<readonly SeenCall[]> {
  return await seenCalls(process.pid, disk.folder, CALLS, work);
}

function syncsOf(calls: readonly SeenCall[], path: string): readonly SeenCall[] {
  return calls.filter(({ call, args }) => SYNCS.includes(call) && args.includes(`${path}>`));
}

async function putFile(disk: Disk, bytes: Buffer): Promise<void> {
  await disk.backend.put(
    incomingOf(bytes, { file: join(disk.folder, `spool-${digestOf(bytes)}`) }),
  );
}

/** Bodies that are files of one folder. */
function neighbours(count: number): readonly Buffer[] {
  const found: Buffer[] = [];
  const bytes = seededBytes(SMALL_BODY + 1);
  for (let number = 0; found.length < count; number++) {
    bytes.writeUInt32LE(number);
    if (digestOf(bytes).startsWith('5e')) found.push(Buffer.from(bytes));
  }
  return found;
}

describe('durability', () => {
  before(async function () {
    const obstacle = await traceObstacle();
    skipUnless(this, obstacle === undefined, obstacle ?? '', { exempt: true });
  });

  it('F-04: full: each file is synced, renamed, its folder synced, then its row; neighbours share the sync of the folder', async () => {
    await using disk = await openDisk();
    const [first = Buffer.alloc(0), ...bodies] = neighbours(17);
    await putFile(disk, first);
    const calls = await callsOf(disk, async () => {
      await Promise.all(bodies.map(async (bytes) => await putFile(disk, bytes)));
    });
    const folderSyncs = syncsOf(calls, join(disk.root, '5e'));
    const commits = syncsOf(calls, join(disk.folder, 'node.db-wal'));
    for (const bytes of bodies) {
      const path = pathOf(disk, digestOf(bytes));
      const [file] = syncsOf(calls, join(disk.folder, `spool-${digestOf(bytes)}`));
      const renamed = calls.find(
        ({ call, args }) => call.startsWith('rename') && args.includes(path),
      );
      const folder = folderSyncs.find(({ begin }) => begin > (renamed?.end ?? Number.NaN));
      const row = commits.find(({ begin }) => begin > (folder?.end ?? Number.NaN));
      expect(file?.end, 'file before name').to.be.below(renamed?.begin ?? 0);
      expect(row, 'name before row').not.to.equal(undefined);
    }
    expect(folderSyncs.length).to.be.within(1, bodies.length - 1);
  });

  it('full: the folder of a new file, and those above it, are on disk before the row', async () => {
    await using disk = await openDisk();
    const bytes = seededBytes(SMALL_BODY + 1);
    const work = async (): Promise<void> => await putFile(disk, bytes);
    const calls = await seenCalls(process.pid, disk.folder, CALLS, work, SLOW_MS);
    const [row] = syncsOf(calls, join(disk.folder, 'node.db-wal'));
    for (const folder of [disk.folder, disk.root, dirname(pathOf(disk, digestOf(bytes)))])
      expect(syncsOf(calls, folder)[0]?.end).to.be.below(row?.begin ?? 0);
  });

  it('full: a small body is on disk when it is put', async () => {
    await using disk = await openDisk();
    await disk.backend.put(incomingOf(seededBytes(1)));
    const calls = await callsOf(disk, async () => {
      await disk.backend.put(incomingOf(seededBytes(1000)));
    });
    expect(calls.length).to.equal(1);
    expect(syncsOf(calls, join(disk.folder, 'node.db-wal')).length).to.equal(1);
  });

  it('os: nothing is synced for a body, and all are there after the process', async () => {
    await using disk = await openDisk({ durability: 'os' });
    await disk.backend.put(incomingOf(seededBytes(1)));
    const bodies = [1000, SMALL_BODY, SMALL_BODY + 1, 3_000_000].map((size) => seededBytes(size));
    const calls = await callsOf(disk, async () => {
      for (const bytes of bodies) await putFile(disk, bytes);
      await disk.backend.delete(digestOf(seededBytes(1)));
    });
    expect(calls.filter(({ call }) => SYNCS.includes(call))).to.deep.equal([]);
    expect(calls.length, 'files were renamed').to.equal(2);
    const backend = await disk.reopen();
    for (const bytes of bodies) await expectBytes(backend, bytes);
  });

  it('where backends share a commit the stricter one counts', async () => {
    await using disk = await openDisk({ durability: 'os' });
    const { database, root } = disk;
    const metrics = new Metrics();
    const parts = { database, metrics, clock: new SystemClock(), log: silentLogger };
    const keepFree = { kind: 'bytes', bytes: 0 } as const;
    await using other = new DiskBackend({ ...parts, name: 'other', root: `${root}-2`, keepFree });
    const put = async (backend: DiskBackend, size: number): Promise<void> =>
      void (await backend.put(incomingOf(seededBytes(size), { inMemory: true })));
    await Promise.all([put(disk.backend, 1), put(other, 1)]);
    const both = await callsOf(disk, async () => {
      await Promise.all([put(disk.backend, 2), put(other, 2)]);
    });
    expect(both.length).to.equal(1);
    expect(await callsOf(disk, async () => await put(disk.backend, 3))).to.deep.equal([]);
    expect((await callsOf(disk, async () => await put(other, 3))).length).to.equal(1);
  });

  it('os: what is noted of it is on disk before the first body, once a boot', async () => {
    await using disk = await openDisk({ durability: 'os' });
    const put = async (size: number): Promise<readonly string[]> => {
      // Beside the folder SQLite syncs each log that it begins, whatever its commits ask for.
      const calls = await seenCalls(process.pid, disk.root, CALLS, async () => {
        await disk.backend.put(incomingOf(seededBytes(size)));
      });
      return calls.map(({ call }) => call);
    };
    expect(await put(1000)).to.deep.equal(['fsync', 'rename', 'fsync']);
    const note = await readFile(join(disk.root, UNSYNCED_NOTE), 'utf8');
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    expect(JSON.parse(note)).to.deep.equal({ boot: boot.trim() });
    await disk.reopen();
    expect(await put(1001)).to.deep.equal([]);
    expect(await readdir(join(disk.root, 'tmp'))).to.deep.equal([]);
  });
});

describe('FolderSync', () => {
  /** Syncs that end when the test says so. */
  function gated(): { sync: FolderSync; begun: PromiseWithResolvers<void>[] } {
    const begun: PromiseWithResolvers<void>[] = [];
    const sync = new FolderSync(async () => {
      const gate = Promise.withResolvers<void>();
      begun.push(gate);
      await gate.promise;
    });
    return { sync, begun };
  }

  it('lets all that come during a sync share the next one, and no other', async () => {
    const { sync, begun } = gated();
    const done: string[] = [];
    const run = async (name: string): Promise<void> => {
      await sync.run('/a');
      done.push(name);
    };
    const first = run('first');
    const others = ['second', 'third', 'fourth'].map(run);
    expect(begun.length).to.equal(1);
    begun[0]?.resolve();
    await first;
    expect(done).to.deep.equal(['first']);
    expect(begun.length).to.equal(2);
    begun[1]?.resolve();
    await Promise.all(others);
    expect(done.length).to.equal(4);
    void sync.run('/a');
    expect(begun.length).to.equal(3);
  });

  it('syncs folders beside each other', () => {
    const { sync, begun } = gated();
    for (const path of ['/a', '/b', '/c']) void sync.run(path);
    expect(begun.length).to.equal(3);
  });

  it('fails all that wait when one fails, and begins anew', async () => {
    const { sync, begun } = gated();
    const failures = [sync.run('/a'), sync.run('/a')].map(failureOf);
    begun[0]?.reject(new Error('EIO'));
    for (const failure of await Promise.all(failures)) expect(String(failure)).to.contain('EIO');
    expect(begun.length).to.equal(1);
    const later = sync.run('/a');
    begun[1]?.resolve();
    await later;
  });
});
