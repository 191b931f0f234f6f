import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { stringify } from 'yaml';
import { reindexRow } from '../../src/reindex-schemas.ts';
import { s3Options } from '../criteria/storages.ts';
import { NodeProcess } from '../support/node-process.ts';
import { expectArtefacts, pagesOf, ReindexPlace } from '../support/reindex-place.ts';
import { CAJE, cleanEnv, runCaje } from '../support/run-caje.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** Small ones, some in a file of their own, one of several blocks. */
const PAGES = [0, 1, 2, 3, 7, 8, 9, 24];
/** Entries that are kept of them and of a module once page 3 is purged. */
const KEPT = 10;
const DISK = { local: { type: 'disk', path: 'blobs', keepFree: 0 } };
const KILLS = 3;
/** A command needs about this long to begin. Milliseconds. */
const BEGUN_MS = 400;

describe('caje reindex', function () {
  this.timeout(120_000);
  let place: ReindexPlace;

  beforeEach(async () => {
    place = await ReindexPlace.start();
  });

  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  /** A node that has kept everything, and was killed right after a purge of page 3. */
  async function filledAndKilled(
    backend = 'local',
    storage: Readonly<Record<string, unknown>> = DISK,
  ): Promise<NodeProcess> {
    await using stack = new AsyncDisposableStack();
    const node = stack.use(await NodeProcess.start({ config: place.config(backend, storage) }));
    await pagesOf(node.url, PAGES, 'MISS');
    await expectArtefacts(node.url, 'MISS');
    const { code, stderr } = await node.run('purge', 'http://a.test/3');
    expect(code, stderr).to.equal(0);
    await node.kill9();
    stack.move();
    return node;
  }

  async function loseManifest(node: NodeProcess): Promise<void> {
    for (const suffix of ['', '-wal', '-shm'])
      await rm(join(node.dataDir, `manifest.db${suffix}`), { force: true });
  }

  /** Everything but the purged page is served by a node whose origins are away. */
  async function expectKept(node: NodeProcess): Promise<void> {
    await place.leave();
    await node.restart();
    const statuses = await pagesOf(node.url, PAGES, 'STALE');
    const served = PAGES.filter((page) => statuses[page] === 200);
    expect(served).to.deep.equal(PAGES.filter((page) => page !== 3));
    expect(statuses[3]).to.be.within(502, 504);
    await expectArtefacts(node.url, 'HIT');
  }

  it('gives back what a disk kept: pages stale, modules as they were, nothing that was purged', async () => {
    await using node = await filledAndKilled();
    await loseManifest(node);
    const before = await readdir(node.dataDir);
    const dry = await node.run('reindex', '--dry-run');
    expect([dry.code, dry.stdout], dry.stderr).to.deep.equal([
      0,
      `${KEPT} answers found, 0 without a body\n`,
    ]);
    expect(await readdir(node.dataDir)).to.deep.equal(before);
    const { code, stdout, stderr } = await node.run('reindex', '--json');
    expect(code, stderr).to.equal(0);
    const rows = stdout.split('\n').filter(Boolean);
    expect(rows.map((row) => reindexRow.parse(JSON.parse(row)).outcome)).to.deep.equal(
      Array.from({ length: KEPT }, () => 'there'),
    );
    await expectKept(node);
  });

  it('lets none but a stopped node be made anew, and one that has entries only when told so', async () => {
    await using node = await filledAndKilled();
    await node.restart();
    await pagesOf(node.url, [5], 'MISS');
    const running = await node.run('reindex', '--force');
    expect([running.code, running.stdout]).to.deep.equal([1, '']);
    expect(running.stderr).to.include('a node runs with the data folder');
    await node.stop();
    const cursor = await cursorOf(node);
    const healthy = await node.run('reindex');
    expect(healthy.code).to.equal(1);
    expect(healthy.stderr).to.include('there is a manifest with entries');
    const forced = await node.run('reindex', '--force');
    expect(forced.code, forced.stderr).to.equal(0);
    expect(forced.stdout).to.equal(`${KEPT + 1} answers taken, 0 without a body\n`);
    expect(forced.stderr).to.match(/the manifest that was there is now .*manifest\.db\.replaced-/);
    const since = await node.run('journal', '--since', cursor);
    expect(since.stderr).to.include('no longer reaches back');
  });

  it('leaves out damaged lines and what has no body, and nothing of others is touched', async () => {
    await using node = await filledAndKilled();
    await loseManifest(node);
    const blobs = join(node.dataDir, 'blobs');
    const [owner = ''] = await readdir(join(blobs, 'rows'));
    const notes = join(blobs, 'rows', owner);
    const [name = ''] = await readdir(notes);
    const segment = await readFile(join(notes, name));
    const at = segment.indexOf('"http://a.test/7"');
    segment[at + 10] = (segment[at + 10] ?? 0) ^ 1;
    await writeFile(join(notes, name), segment);
    const foreign = [join(blobs, 'rows/README'), join(notes, 'README'), join(notes, '0-c')];
    for (const path of foreign) await writeFile(path, 'not ours');
    // The zip, and two pages over 64 KiB.
    const large = (await readdir(blobs)).filter((folder) => folder.length === 2);
    for (const folder of large) await rm(join(blobs, folder), { recursive: true });
    const some = await node.run('reindex', '--dry-run');
    expect([some.code, some.stdout]).to.deep.equal([
      0,
      `${KEPT - 4} answers found, 3 without a body\n`,
    ]);
    expect(some.stderr).to.include('damaged lines of the notes were left out, 1:');

    for (const suffix of ['', '-wal', '-shm'])
      await rm(join(node.dataDir, `node.db${suffix}`), { force: true });
    const none = await node.run('reindex');
    expect(none.code).to.equal(1);
    expect(none.stderr).to.include('not one of the bodies is there');
    expect(existsSync(join(node.dataDir, 'manifest.db'))).to.equal(false);
    for (const path of foreign) expect(await readFile(path, 'utf8')).to.equal('not ours');
  });

  it('has back what a node did not find that was started without its manifest', async () => {
    await using node = await filledAndKilled();
    await loseManifest(node);
    await node.restart();
    await node.logged(({ msg }) => msg.startsWith('an earlier manifest left notes of its rows'));
    await pagesOf(node.url, [3, 5], 'MISS');
    await node.stop();
    const { code, stdout, stderr } = await node.run('reindex', '--force');
    expect(code, stderr).to.equal(0);
    // Page 3 was purged before and fetched again since.
    expect(stdout).to.equal(`${KEPT + 2} answers taken, 0 without a body\n`);
  });

  it('was killed at any moment: the old manifest or the new one is there', async () => {
    await using node = await filledAndKilled();
    const path = join(node.dataDir, 'manifest.db');
    const old = statSync(path).ino;
    for (let at = 0; at < KILLS; at++) {
      const child = spawn(CAJE, ['reindex', '--force', '-c', node.configFile], {
        env: cleanEnv(),
        stdio: 'ignore',
      });
      await sleep(BEGUN_MS + Math.random() * BEGUN_MS);
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      expect(existsSync(path)).to.equal(true);
      if (statSync(path).ino !== old) break;
    }
    const { code, stdout, stderr } = await node.run('reindex', '--force');
    expect(code, stderr).to.equal(0);
    expect(stdout).to.equal(`${KEPT} answers taken, 0 without a body\n`);
    const left = await readdir(node.dataDir);
    expect(left.filter((name) => name.startsWith('reindex.'))).to.deep.equal([]);
  });

  it('says that a memory keeps no notes', async () => {
    await using folder = await tempFolder();
    const config = place.config('local', { local: { type: 'memory' } });
    const file = join(folder.path, 'caje.yaml');
    await writeFile(file, stringify({ ...config, data: join(folder.path, 'data') }));
    const { code, stderr } = await runCaje(['reindex', '--config', file]);
    expect(code).to.equal(1);
    expect(stderr).to.include('no storage keeps notes');
  });

  describe('from S3', () => {
    let server: S3Server;

    before(async function () {
      skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
      server = await startS3Server();
    });

    after(async () => await server?.stop());

    it('gives back what a bucket kept of a node whose data folder is lost', async () => {
      const far = s3Options(server, await server.createBucket());
      await using node = await filledAndKilled('far', { far });
      const owner = (await readFile(join(node.dataDir, 'node-id'), 'utf8')).trim();
      await rm(node.dataDir, { recursive: true });
      const own = await node.run('reindex');
      expect(own.code).to.equal(1);
      expect(own.stderr).to.include(`others have: ${owner}`);
      const { code, stdout, stderr } = await node.run('reindex', '--node', owner);
      expect(code, stderr).to.equal(0);
      expect(stdout).to.equal(`${KEPT} answers taken, 0 without a body\n`);
      await expectKept(node);
    });

    it('gives back what two tiers kept once the near one is empty', async () => {
      const far = s3Options(server, await server.createBucket());
      const storage = { near: DISK.local, far, both: { type: 'tiered', near: 'near', far: 'far' } };
      await using node = await filledAndKilled('both', storage);
      for (const name of await readdir(node.dataDir))
        if (name !== 'node-id') await rm(join(node.dataDir, name), { recursive: true });
      const near = await node.run('reindex', '--from', 'near');
      expect(near.stderr).to.include('near: no notes of');
      const { code, stdout, stderr } = await node.run('reindex');
      expect(code, stderr).to.equal(0);
      expect(stdout).to.equal(`${KEPT} answers taken, 0 without a body\n`);
    });
  });
});

async function cursorOf(node: NodeProcess): Promise<string> {
  const { stdout } = await node.run('journal', '--json');
  return (JSON.parse(stdout) as { readonly cursor: string }).cursor;
}
