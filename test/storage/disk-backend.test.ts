import {
  chmod,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { processIdentity } from '../../src/process-identity.ts';
import { digestOf } from '../../src/storage/digest.ts';
import type { DiskBackendOptions } from '../../src/storage/disk-backend.ts';
import { SMALL_BODY } from '../../src/storage/small-body.ts';
import { backendContract } from '../contract/backend.ts';
import {
  type BackendFixture,
  contentOf,
  expectBytes,
  failureOf,
} from '../contract/backend-fixture.ts';
import { incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { flipInDatabase, flipInFile, openDisk, pathOf } from './disk-place.ts';

const MIB = 1024 * 1024;

const inContract = async (options: Partial<DiskBackendOptions>): Promise<BackendFixture> => {
  const disk = await openDisk(options);
  return {
    backend: disk.backend,
    reopen: async () => await disk.reopen(),
    leftovers: async () => await readdir(join(disk.root, 'tmp')).catch(() => []),
    flip: async (digest, offset) => {
      const size = (await disk.backend.stat(digest))?.size ?? 0;
      if (size <= SMALL_BODY) flipInDatabase(disk, digest, offset);
      else await flipInFile(pathOf(disk, digest), offset);
    },
    corruptions: () => disk.metrics.value('corrupt_blobs_total'),
    dispose: async () => await disk[Symbol.asyncDispose](),
  };
};

backendContract('disk', async () => await inContract({}));
backendContract('disk, durability: os', async () => await inContract({ durability: 'os' }));

describe('DiskBackend', () => {
  it('moves the spool file into place', async () => {
    await using disk = await openDisk();
    const bytes = seededBytes(3 * MIB);
    const file = join(disk.folder, 'spool-1');
    const incoming = incomingOf(bytes, { file });
    const { digest } = await disk.backend.put(incoming);
    expect(incoming.opened).to.equal(0);
    expect(await readdir(disk.folder)).not.to.include('spool-1');
    expect((await readFile(pathOf(disk, digest))).equals(bytes)).to.equal(true);
  });

  it('copies a spool file that lies on another file system', async function () {
    const elsewhere = '/dev/shm';
    const file = join(elsewhere, `caje-test-${process.pid}`);
    await using disk = await openDisk();
    const bytes = seededBytes(2 * MIB);
    const written = await writeFile(file, '').then(
      () => true,
      () => false,
    );
    skipUnless(this, written, `there is no other file system at ${elsewhere}`, { exempt: true });
    const { digest } = await disk.backend.put(incomingOf(bytes, { file }));
    expect((await contentOf(await disk.backend.open(digest))).equals(bytes)).to.equal(true);
    expect(await readdir(elsewhere)).not.to.include(`caje-test-${process.pid}`);
    expect(await readdir(join(disk.root, 'tmp'))).to.deep.equal([]);
  });

  it('keeps small bodies in the node database alone', async () => {
    await using disk = await openDisk();
    await disk.backend.put(incomingOf(seededBytes(SMALL_BODY)));
    const folders = async (): Promise<string[]> =>
      (await readdir(disk.root).catch(() => [])).filter((name) => name !== 'tmp');
    expect(await folders()).to.deep.equal([]);
    await disk.backend.put(incomingOf(seededBytes(SMALL_BODY + 1)));
    expect((await folders()).length).to.equal(1);
  });

  const damages: Record<string, (path: string, other: string) => Promise<void>> = {
    truncated: async (path) => await truncate(path, 1000),
    extended: async (path) => await writeFile(path, 'more', { flag: 'a' }),
    'with a zeroed page': async (path) => {
      const file = await open(path, 'r+');
      await file.write(Buffer.alloc(4096), 0, 4096, 8192);
      await file.close();
    },
    empty: async (path) => await truncate(path, 0),
    'swapped with another': async (path, other) => {
      await rename(path, `${path}.x`);
      await rename(other, path);
      await rename(`${path}.x`, other);
    },
    missing: async (path) => await rm(path),
    'replaced by a directory': async (path) => {
      await rm(path);
      await mkdir(path);
      await writeFile(join(path, 'inside'), 'x');
    },
    'replaced by a symbolic link': async (path, other) => {
      await rename(path, `${other}.moved`);
      await symlink(`${other}.moved`, path);
    },
    "replaced by another body's bytes": async (path, other) =>
      await writeFile(path, await readFile(other)),
    'not readable': async (path) => {
      const file = await open(path);
      await file.chmod(0o000);
      await file.close();
    },
  };

  for (const [name, damage] of Object.entries(damages)) {
    for (const size of [100_000, 3 * MIB]) {
      it(`treats a file of ${size} bytes that is ${name} as not there, and a new put heals it (F-23)`, async function () {
        const isVoid = name === 'not readable' && process.getuid?.() === 0;
        skipUnless(this, !isVoid, 'root may read everything', { exempt: true });
        await using disk = await openDisk();
        const bytes = seededBytes(size);
        const other = seededBytes(size, 'other');
        const { digest } = await disk.backend.put(incomingOf(bytes));
        await disk.backend.put(incomingOf(other));
        await damage(pathOf(disk, digest), pathOf(disk, digestOf(other)));
        expect(await disk.backend.open(digest)).to.equal(undefined);
        const counted = ['corrupt_blobs_total', 'missing_blobs_total'] as const;
        expect(counted.map((counter) => disk.metrics.value(counter))).to.deep.equal(
          name === 'missing' ? [0, 1] : [1, 0],
        );
        await disk.backend.put(incomingOf(bytes));
        expect((await contentOf(await disk.backend.open(digest))).equals(bytes)).to.equal(true);
      });
    }
  }

  it('hands out unchecked bytes where checking is off', async () => {
    await using disk = await openDisk({ verify: false });
    const bytes = seededBytes(2 * MIB);
    const { digest } = await disk.backend.put(incomingOf(bytes));
    await flipInFile(pathOf(disk, digest), 0);
    const content = await contentOf(await disk.backend.open(digest));
    expect(content.equals(bytes)).to.equal(false);
    expect(content.subarray(1).equals(bytes.subarray(1))).to.equal(true);
  });

  it('refuses a write that would leave too little free space', async () => {
    await using disk = await openDisk({ keepFree: { kind: 'share', share: 1 } });
    for (const size of [100, 100_000]) {
      expect(kindOf(await failureOf(disk.backend.put(incomingOf(seededBytes(size)))))).to.equal(
        'unavailable',
      );
    }
    expect((await disk.backend.health()).problem).to.match(/keepFree/);
  });

  it('fails with "unavailable" and leaves nothing where the folder cannot be made', async () => {
    await using disk = await openDisk();
    await writeFile(disk.root, 'a file in its place');
    const file = join(disk.folder, 'spool-1');
    expect(
      kindOf(await failureOf(disk.backend.put(incomingOf(seededBytes(100_000), { file })))),
    ).to.equal('unavailable');
    expect((await disk.backend.health()).problem).to.be.a('string');
    expect(await disk.backend.open(digestOf(seededBytes(100_000)))).to.equal(undefined);
    await rm(disk.root);
  });

  it('keeps bodies in a folder whose parent it may not read', async function () {
    skipUnless(this, process.getuid?.() !== 0, 'root may read everything', { exempt: true });
    await using folder = await tempFolder();
    const root = join(folder.path, 'blobs');
    await mkdir(root);
    await chmod(folder.path, 0o311);
    await using disk = await openDisk({ root });
    const put = disk.backend.put(incomingOf(seededBytes(100_000)));
    await put.finally(async () => await chmod(folder.path, 0o700));
    await expectBytes(disk.backend, seededBytes(100_000));
  });

  it('removes temporary files of processes that are gone and no others', async () => {
    await using disk = await openDisk();
    await disk.backend.recover();
    const temp = join(disk.root, 'tmp');
    const own = `${processIdentity()}.own`;
    for (const name of [own, '999999999-1.gone', `${process.pid}-1.earlier`, 'nonsense'])
      await writeFile(join(temp, name), 'x');
    expect(await disk.backend.recover()).to.equal(3);
    expect(await readdir(temp)).to.deep.equal([own]);
    expect(disk.metrics.value('recovered_total')).to.equal(3);
  });

  it('takes up whole files without a row and removes broken ones', async () => {
    await using disk = await openDisk();
    const [whole, broken] = [seededBytes(3 * MIB, 'whole'), seededBytes(3 * MIB, 'broken')];
    for (const bytes of [whole, broken]) await disk.backend.put(incomingOf(bytes));
    await disk.close();
    await writeFile(join(disk.folder, 'node.db'), 'no database at all');
    await rm(join(disk.folder, 'node.db-wal'), { force: true });
    await flipInFile(pathOf(disk, digestOf(broken)), 2 * MIB);
    const backend = await disk.reopen();
    expect(disk.database.isNew).to.equal(true);
    expect(await backend.open(digestOf(whole))).to.equal(undefined);
    expect(await backend.recover()).to.equal(1);
    expect((await contentOf(await backend.open(digestOf(whole)))).equals(whole)).to.equal(true);
    expect(await backend.stat(digestOf(broken))).to.equal(undefined);
    expect(
      (await readdir(disk.folder)).some((name) => name.startsWith('node.db.damaged-')),
    ).to.equal(true);
  });
});
