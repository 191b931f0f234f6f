import { copyFile, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { digestOf } from '../../src/storage/digest.ts';
import { UNSYNCED_NOTE } from '../../src/storage/unsynced-bodies.ts';
import { contentOf, expectBytes, failureOf } from '../contract/backend-fixture.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { type Disk, flipInFile, openDisk, pathOf } from './disk-place.ts';

const MIB = 1024 * 1024;
const SIZE = 2 * MIB + 1000;

/** As the kernel leaves a file whose name was written back, and not all of its bytes. */
const LOSSES: Readonly<Record<string, (path: string) => Promise<void>>> = {
  'without its bytes': async (path) => await truncate(path, 0),
  'with its first block alone': async (path) => await truncate(path, MIB),
  'of zeros': async (path) => await writeFile(path, Buffer.alloc(SIZE)),
  'with zeros at its end': async (path) => {
    await truncate(path, MIB);
    await truncate(path, SIZE);
  },
  'with zeros in its midst': async (path) => {
    const file = await open(path, 'r+');
    await file.write(Buffer.alloc(4096), 0, 4096, MIB + 8192);
    await file.close();
  },
};

/** As if the machine had been started since. */
async function reboot(disk: Disk): Promise<void> {
  await writeFile(join(disk.root, UNSYNCED_NOTE), JSON.stringify({ boot: 'the one before' }));
}

async function noteOf(disk: Disk): Promise<object | undefined> {
  const text = await readFile(join(disk.root, UNSYNCED_NOTE), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as object);
}

describe('a disk after a power cut', () => {
  for (const [name, lose] of Object.entries(LOSSES)) {
    it(`full: a file ${name} never ends cleanly, and a new put heals it`, async () => {
      await using disk = await openDisk();
      const bytes = seededBytes(SIZE);
      const { digest } = await disk.backend.put(incomingOf(bytes));
      await lose(pathOf(disk, digest));
      const backend = await disk.reopen();
      const opened = await backend.open(digest);
      if (opened !== undefined) await failureOf(contentOf(opened));
      expect(disk.metrics.value('corrupt_blobs_total')).to.equal(1);
      await backend.put(incomingOf(bytes));
      await expectBytes(backend, bytes);
    });

    it(`os: a file ${name} is not there from the first byte on, and a new put heals it`, async () => {
      await using disk = await openDisk({ durability: 'os' });
      const bytes = seededBytes(SIZE);
      const { digest } = await disk.backend.put(incomingOf(bytes));
      await lose(pathOf(disk, digest));
      await reboot(disk);
      const backend = await disk.reopen();
      const asked = await Promise.all([
        backend.open(digest),
        backend.open(digest),
        backend.stat(digest),
      ]);
      expect(asked).to.deep.equal([undefined, undefined, undefined]);
      expect(disk.metrics.value('corrupt_blobs_total')).to.equal(1);
      await backend.put(incomingOf(bytes));
      await expectBytes(backend, bytes);
    });

    it(`os: a file ${name} is found by the start, or replaced by a put before`, async () => {
      await using disk = await openDisk({ durability: 'os' });
      const bodies = [seededBytes(SIZE, 'found'), seededBytes(SIZE, 'put again')] as const;
      const whole = seededBytes(SIZE, 'whole');
      for (const bytes of [...bodies, whole]) await disk.backend.put(incomingOf(bytes));
      for (const bytes of bodies) await lose(pathOf(disk, digestOf(bytes)));
      await reboot(disk);
      const backend = await disk.reopen();
      await backend.put(incomingOf(bodies[1]));
      await backend.recover();
      expect(disk.metrics.value('corrupt_blobs_total')).to.equal(1);
      expect(await backend.stat(digestOf(bodies[0]))).to.equal(undefined);
      for (const bytes of [bodies[1], whole]) await expectBytes(backend, bytes);
    });
  }

  it('os: what was read once at the start is not doubted again', async () => {
    await using disk = await openDisk({ durability: 'os' });
    const bytes = seededBytes(SIZE);
    const { digest } = await disk.backend.put(incomingOf(bytes));
    const first = await noteOf(disk);
    await reboot(disk);
    let backend = await disk.reopen();
    await backend.put(incomingOf(seededBytes(1)));
    expect(await noteOf(disk)).to.include.keys('boot', 'doubt');
    // Until all were read, another process of this boot has the same doubts.
    backend = await disk.reopen();
    await backend.recover();
    expect(await noteOf(disk)).to.deep.equal(first);
    await flipInFile(pathOf(disk, digest), SIZE - 1);
    const opened = await backend.open(digest);
    expect(opened?.size).to.equal(SIZE);
    opened?.body.destroy();
  });

  it('os: doubts the last ten minutes before the machine stopped', async () => {
    const clock = new FakeClock();
    await using disk = await openDisk({ durability: 'os', clock });
    const bodies = [20, 9, 0].map((minutes) => seededBytes(SIZE, minutes));
    for (const [index, minutes] of [11, 9, 60].entries()) {
      await disk.backend.put(incomingOf(bodies[index] ?? Buffer.alloc(0)));
      clock.advance(minutes * 60_000);
    }
    for (const bytes of bodies) await flipInFile(pathOf(disk, digestOf(bytes)), SIZE - 1);
    await reboot(disk);
    const backend = await disk.reopen();
    const found = await Promise.all(
      bodies.map(async (bytes) => await backend.open(digestOf(bytes))),
    );
    for (const opened of found) opened?.body.destroy();
    expect(found.map((opened) => opened !== undefined)).to.deep.equal([true, false, false]);
  });

  for (const note of ['{"boot":', '{}', 'null', ''])
    it(`os: takes the note ${JSON.stringify(note)} for one of another boot`, async () => {
      await using disk = await openDisk({ durability: 'os' });
      const { digest } = await disk.backend.put(incomingOf(seededBytes(SIZE)));
      await flipInFile(pathOf(disk, digest), SIZE - 1);
      await writeFile(join(disk.root, UNSYNCED_NOTE), note);
      expect(await (await disk.reopen()).open(digest)).to.equal(undefined);
    });

  it('doubts what was written with os when it is `full` by now, then forgets it', async () => {
    await using disk = await openDisk({ durability: 'os' });
    const bodies = ['asked', 'found'].map((seed) => seededBytes(SIZE, seed));
    for (const bytes of bodies) await disk.backend.put(incomingOf(bytes));
    for (const bytes of bodies) await flipInFile(pathOf(disk, digestOf(bytes)), SIZE - 1);
    await reboot(disk);
    const backend = await disk.reopen({ durability: 'full' });
    expect(await backend.open(digestOf(bodies[0] ?? Buffer.alloc(0)))).to.equal(undefined);
    await backend.recover();
    expect(disk.metrics.value('corrupt_blobs_total')).to.equal(2);
    expect(await noteOf(disk)).to.equal(undefined);
  });

  it('os: whatever is left of the log of node.db, small bodies are right or not there, and the file is sound', async () => {
    await using disk = await openDisk({ durability: 'os' });
    const bodies = Array.from({ length: 30 }, (_, number) => seededBytes(1000 + 2000 * number));
    for (const bytes of bodies) await disk.backend.put(incomingOf(bytes));
    const path = join(disk.folder, 'node.db');
    const log = await readFile(`${path}-wal`);
    const kept: number[] = [];
    for (let share = 0; share <= 8; share++) {
      const at = Math.floor((log.length * share) / 8);
      const hole = Buffer.from(log).fill(0, at, Math.min(at + 4096, log.length));
      const tail = Buffer.from(log).fill(0, at);
      for (const left of [log.subarray(0, at), hole, tail]) {
        await using folder = await tempFolder();
        const copy = join(folder.path, 'node.db');
        await copyFile(path, copy);
        await writeFile(`${copy}-wal`, left);
        kept.push(soundBodies(copy));
      }
    }
    expect(Math.min(...kept)).to.be.below(bodies.length / 2);
    expect(Math.max(...kept)).to.equal(bodies.length);
  });
});

/** How many bodies a copy of the database has, each right. */
function soundBodies(path: string): number {
  const database = new Database(path);
  try {
    expect(database.pragma('integrity_check', { simple: true })).to.equal('ok');
    const rows = database
      .prepare<[], { digest: Buffer; body: Buffer }>(
        'SELECT digest, body FROM blobs JOIN small_bodies ON id = place',
      )
      .all();
    for (const { digest, body } of rows) expect(digestOf(body)).to.equal(digest.toString('hex'));
    expect(database.prepare('SELECT count(*) FROM blobs').pluck().get()).to.equal(rows.length);
    return rows.length;
  } finally {
    database.close();
  }
}
