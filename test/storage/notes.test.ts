import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { kindOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { DiskBackend } from '../../src/storage/disk-backend.ts';
import { MemoryBackend } from '../../src/storage/memory-backend.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { keepersIn } from '../../src/storage/notes.ts';
import type { S3Backend } from '../../src/storage/s3-backend.ts';
import { notesContract } from '../contract/notes.ts';
import { NODE, openBucket, PREFIX } from '../support/s3-bucket.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';

const clock = new SystemClock();
const common = { clock, log: silentLogger, metrics: new Metrics() };

async function digestsOf(backend: Pick<S3Backend, 'list'>): Promise<string[]> {
  return (await Array.fromAsync(backend.list())).map(({ digest }) => digest);
}

async function textAt(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(() => undefined);
}

async function plantAt(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

notesContract('a disk', async () => {
  const folder = await tempFolder();
  const root = join(folder.path, 'blobs');
  const database = await NodeDatabase.open({ path: join(folder.path, 'node.db'), ...common });
  const make = (): DiskBackend => new DiskBackend({ name: 'local', root, database, ...common });
  const backend = make();
  return {
    notes: backend.notes,
    again: async () => await Promise.resolve(make().notes),
    // A start looks through the folder: notes are not what a crash left.
    listed: async () => {
      expect(await backend.recover()).to.equal(0);
      return await digestsOf(backend);
    },
    plant: async (path, text) => await plantAt(join(root, 'rows', path), text),
    planted: async (path) => await textAt(join(root, 'rows', path)),
    dispose: async () => {
      await backend[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
});

describe('on S3', () => {
  let server: S3Server;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
  });

  after(async () => await server?.stop());

  notesContract('a bucket', async () => {
    const bucket = await openBucket(server);
    const at = (path: string): string => join(bucket.folder, PREFIX, 'rows', path);
    return {
      notes: bucket.backend.notes,
      again: async () => (await bucket.neighbour()).notes,
      listed: async () => {
        expect(await bucket.backend.recover()).to.equal(0);
        return await digestsOf(bucket.backend);
      },
      plant: async (path, text) => {
        await bucket.objects.put(`${PREFIX}rows/${path}`, Buffer.from(text), false, {});
      },
      planted: async (path) => await textAt(at(path)),
      dispose: async () => await bucket[Symbol.asyncDispose](),
    };
  });

  it('a bucket that refuses notes still takes bodies', async () => {
    await using bucket = await openBucket(server);
    // A file where the folder of the notes would be: the server cannot write below it.
    await bucket.objects.put(`${PREFIX}rows`, Buffer.from('x'), false, {});
    const failure = await bucket.backend.notes.write(NODE, '0-a', Buffer.from('x')).catch(kindOf);
    expect(failure).to.be.oneOf(['unavailable', 'conflict', 'integrity']);
    expect(await bucket.backend.health()).to.deep.equal({});
  });

  it('two tiers: each keeps notes by itself, the nearest first', async () => {
    await using bucket = await openBucket(server);
    const memory = new MemoryBackend({ name: 'near', ...common });
    expect(keepersIn(memory)).to.deep.equal([]);
    const tiers = { tiers: [memory, bucket.backend] };
    expect(keepersIn(tiers)).to.deep.equal([bucket.backend]);
    expect(keepersIn({ tiers: [tiers, bucket.backend] })).to.have.length(2);
    await memory[Symbol.asyncDispose]();
  });
});

describe('notes of a disk', () => {
  it('are never a link or a folder, and leave nothing half-written in their place', async () => {
    await using folder = await tempFolder();
    await using database = await NodeDatabase.open({
      path: join(folder.path, 'node.db'),
      ...common,
    });
    const root = join(folder.path, 'blobs');
    await using backend = new DiskBackend({ name: 'local', root, database, ...common });
    const own = join(root, 'rows', NODE);
    await backend.notes.write(NODE, '0-a', Buffer.from('x'));
    await symlink('/etc/hostname', join(own, '0-b'));
    await mkdir(join(own, '0-c'));
    expect((await backend.notes.list(NODE)).map(({ name }) => name)).to.deep.equal(['0-a']);
    expect(await backend.notes.read(NODE, '0-b')).to.equal(undefined);
    const failure = await backend.notes.write(NODE, '0-c', Buffer.from('x')).catch(kindOf);
    expect(failure).to.equal('unavailable');
    expect(await readdir(join(root, 'tmp'))).to.deep.equal([]);
    await rm(own, { recursive: true });
    await writeFile(own, 'a file in the place of the folder');
    expect(await backend.notes.list(NODE)).to.deep.equal([]);
  });
});
