import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { BackupNote } from '../../src/backup-folder.ts';
import { type BodyRow, bodyRow } from '../../src/house-schemas.ts';
import { HouseSite, readPages } from '../support/house-site.ts';
import { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv, type RunResult, runCaje } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const PAGES = 60;
const KILLS = 4;
/** A command needs about this long to begin. Milliseconds. */
const BEGUN_MS = 300;
const STORAGE = { local: { type: 'disk', path: 'blobs', keepFree: 0 } };

describe('caje backup and restore', function () {
  this.timeout(120_000);
  let site: HouseSite;
  let folder: TempFolder;
  let saved: string;

  beforeEach(async () => {
    site = await HouseSite.start();
    folder = await tempFolder();
    saved = join(folder.path, 'saved');
  });

  afterEach(async () => {
    await folder[Symbol.asyncDispose]();
    await site[Symbol.asyncDispose]();
  });

  async function start(name: string): Promise<NodeProcess> {
    const home = join(folder.path, name);
    await mkdir(home, { recursive: true });
    return await NodeProcess.start({ folder: home, config: site.config('local', STORAGE) });
  }

  /** A folder with a configuration and no data. */
  async function emptyHome(name: string): Promise<{ home: string; args: string[] }> {
    await using node = await start(name);
    await node.stop();
    await rm(node.dataDir, { recursive: true });
    return { home: node.folder, args: ['--config', node.configFile] };
  }

  async function caje(...args: string[]): Promise<RunResult> {
    return await runCaje(args, { cwd: folder.path });
  }

  function rowsOf(stdout: string): BodyRow[] {
    const lines = stdout.split('\n').filter((line) => line !== '');
    return lines.map((line) => bodyRow.parse(JSON.parse(line)));
  }

  async function note(): Promise<BackupNote> {
    return JSON.parse(await readFile(join(saved, 'backup.json'), 'utf8')) as BackupNote;
  }

  async function cursorOf(node: NodeProcess): Promise<string> {
    const { stdout } = await node.run('journal', '--json');
    return (JSON.parse(stdout) as { readonly cursor: string }).cursor;
  }

  it('saves while 20 clients fill; every row has its body again, in a new epoch', async () => {
    let cursor: string;
    {
      await using node = await start('old');
      await readPages(node.url, PAGES);
      const filling = readPages(node.url, PAGES, PAGES);
      const first = await node.run('backup', saved, '--json');
      expect(first.code, first.stderr).to.equal(0);
      await filling;
      expect(rowsOf(first.stdout).length).to.be.within(PAGES, 2 * PAGES);
      const again = await node.run('backup', saved, '--json');
      expect(again.code, again.stderr).to.equal(0);
      const rows = rowsOf(again.stdout);
      expect(rows).to.have.length(2 * PAGES);
      expect(rows.filter(({ outcome }) => outcome === 'there').length).to.be.at.least(PAGES);
      expect(await readdir(join(saved, 'manifests'))).to.have.length(1);
      cursor = await cursorOf(node);
      await node.stop();
    }
    const { args } = await emptyHome('new');
    const restored = await caje('restore', saved, '--json', ...args);
    expect(restored.code, restored.stderr).to.equal(0);
    expect(rowsOf(restored.stdout)).to.have.length(2 * PAGES);

    site.asked.length = 0;
    await using node = await start('new');
    await readPages(node.url, 2 * PAGES);
    expect(site.asked).to.deep.equal([]);
    expect((await node.run('verify')).stdout).to.match(/^120 bodies, .*, 0 bad\n$/);
    const { stdout } = await node.run('ls', '--json');
    expect(stdout.match(/"state":"present"/g)).to.have.length(2 * PAGES);
    const since = await node.run('journal', '--since', cursor);
    expect(since.code).to.equal(1);
    expect(since.stderr).to.include('no longer reaches back');
    expect(await cursorOf(node)).to.not.equal(cursor);
    // What is new is written on from where the old journal ended.
    await readPages(node.url, 1, 2 * PAGES);
    const left = await readdir(node.dataDir);
    expect(left.filter((name) => name.startsWith('restore.'))).to.deep.equal([]);
  });

  it('goes on after SIGKILL at any moment, both ways; an earlier backup stays good until the end', async () => {
    await using node = await start('old');
    await readPages(node.url, PAGES);
    expect((await node.run('backup', saved)).code).to.equal(0);
    const before = await note();
    await readPages(node.url, PAGES, PAGES);
    await node.stop();
    const killSome = async (...args: string[]): Promise<void> => {
      for (let at = 0; at < KILLS; at++) {
        const child = spawn(CAJE, [...args, '--concurrency', '1'], {
          env: cleanEnv(),
          stdio: 'ignore',
        });
        await sleep(BEGUN_MS + Math.random() * BEGUN_MS);
        child.kill('SIGKILL');
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
        const now = await note();
        if (now.createdAt === before.createdAt) expect(now).to.deep.equal(before);
        else expect(now.bodies).to.equal(2 * PAGES);
        const [copy] = await readdir(join(saved, 'manifests')).then((names) =>
          names.filter((name) => name === `${now.manifest.digest}.db`),
        );
        expect(copy).to.be.a('string');
      }
    };
    await killSome('backup', saved, '-c', node.configFile);
    expect((await node.run('backup', saved)).code).to.equal(0);
    expect((await readdir(saved)).sort()).to.deep.equal(['backup.json', 'bodies', 'manifests']);

    const { home, args } = await emptyHome('new');
    await killSome('restore', saved, ...args);
    const last = await caje('restore', saved, ...args);
    // The last kill may have come too late.
    if (last.code !== 0) expect(last.stderr).to.include('there is a manifest already');
    const left = await readdir(join(home, 'data'));
    expect(left.filter((name) => name.startsWith('restore.'))).to.deep.equal([]);
    site.asked.length = 0;
    await using moved = await start('new');
    await readPages(moved.url, 2 * PAGES);
    expect(site.asked).to.deep.equal([]);
  });

  for (const running of [true, false]) {
    it(`ends in order on SIGINT, ${running ? 'in a running node' : 'without one'}`, async () => {
      await using node = await start('old');
      await readPages(node.url, PAGES);
      if (!running) await node.stop();
      const child = spawn(CAJE, ['backup', saved, '--concurrency', '1', '-c', node.configFile], {
        env: cleanEnv(),
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let said = '';
      child.stdout.on('data', (text: Buffer) => {
        said += text.toString();
      });
      const bodies = join(saved, 'bodies');
      while ((await readdir(bodies).catch(() => [])).length < 3) await sleep(1);
      child.kill('SIGINT');
      await once(child, 'close');
      expect(child.exitCode).to.equal(1);
      expect(said).to.match(/^\d+ saved .*; stopped: run it again to go on\n$/);
      expect(existsSync(join(saved, 'backup.json'))).to.equal(false);
      const { args } = await emptyHome('new');
      const refused = await caje('restore', saved, ...args);
      expect(refused.code).to.equal(2);
      expect(refused.stderr).to.include('is no whole backup: it has no backup.json');
      // The node may still be putting its own side away.
      await sleep(running ? 200 : 0);
      expect((await node.run('backup', saved)).code).to.equal(0);
    });
  }

  describe('a damaged backup', () => {
    let args: string[];
    let home: string;

    beforeEach(async () => {
      await using node = await start('old');
      await readPages(node.url, PAGES);
      expect((await node.run('backup', saved)).code).to.equal(0);
      await node.stop();
      ({ home, args } = await emptyHome('new'));
    });

    async function flip(path: string, at: number): Promise<void> {
      const file = await open(path, 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, at);
      await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
      await file.close();
    }

    async function someBody(): Promise<string> {
      const bodies = join(saved, 'bodies');
      for (const sub of await readdir(bodies)) {
        for (const name of await readdir(join(bodies, sub)))
          if ((await readFile(join(bodies, sub, name))).length > 1000)
            return join(bodies, sub, name);
      }
      throw new Error('no body');
    }

    const manifest = async (): Promise<string> =>
      join(saved, 'manifests', `${(await note()).manifest.digest}.db`);

    for (const [what, damage, code, said] of [
      ['manifest', async () => await flip(await manifest(), 9000), 1, 'does not match its digest'],
      ['missing manifest', async () => await rm(await manifest()), 1, 'manifest is not there'],
      ['cut note', async () => await truncate(join(saved, 'backup.json'), 50), 2, 'is not JSON'],
      [
        'note of another form',
        async () => await writeFile(join(saved, 'backup.json'), '{"format":"else"}'),
        2,
        'backup.json: format',
      ],
      ['body', async () => await flip(await someBody(), 500), 1, 'other bytes came'],
      ['missing body', async () => await rm(await someBody()), 1, 'is not there'],
      ['cut body', async () => await truncate(await someBody(), 10), 1, 'has 10 bytes instead of'],
    ] as const) {
      it(`is refused for a ${what}, and nothing is made of it`, async () => {
        await damage();
        const { stdout, stderr, ...result } = await caje('restore', saved, ...args);
        expect(result.code).to.equal(code);
        expect(stdout + stderr).to.include(said);
        expect(existsSync(join(home, 'data', 'manifest.db'))).to.equal(false);
      });
    }

    it('is restored without its damaged bodies when that is asked for', async () => {
      await flip(await someBody(), 500);
      const { code, stdout, stderr } = await caje('restore', saved, '--partial', ...args);
      expect(code, stderr).to.equal(0);
      expect(stdout).to.match(/59 restored .*, 0 there already, 1 failed\n$/);
      site.asked.length = 0;
      await using node = await start('new');
      await readPages(node.url, PAGES);
      expect(site.asked).to.have.length(1);
    });

    it('replaces nothing: neither a manifest nor a running node', async () => {
      await using node = await start('new');
      await readPages(node.url, 3);
      const meanwhile = await caje('restore', saved, ...args);
      expect(meanwhile.code).to.equal(1);
      expect(meanwhile.stderr).to.include('a node runs with the data folder');
      await node.stop();
      const after = await caje('restore', saved, ...args);
      expect(after.code).to.equal(1);
      expect(after.stderr).to.include('there is a manifest already');
      await node.restart();
      expect((await node.run('ls', '--json')).stdout.trim().split('\n')).to.have.length(3);
    });
  });

  it('leaves a folder alone that holds something else, and says what is not kept any more', async () => {
    await using node = await start('old');
    await readPages(node.url, 10);
    await node.stop();
    await mkdir(saved);
    await writeFile(join(saved, 'mine.txt'), 'mine');
    const refused = await node.run('backup', saved);
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.include('holds something else than a backup');
    expect(await readdir(saved)).to.deep.equal(['mine.txt']);

    await rm(join(node.dataDir, 'blobs'), { recursive: true });
    const other = join(folder.path, 'other');
    const { code, stdout } = await node.run('backup', other);
    expect(code).to.equal(0);
    expect(stdout).to.match(/ saved .*, [1-9]\d* missing, 0 failed\n$/);
    const { args } = await emptyHome('new');
    const restored = await caje('restore', other, ...args);
    expect(restored.code, restored.stderr).to.equal(0);
    expect(restored.stdout).to.match(/ missing, 0 failed\n$/);
  });
});
