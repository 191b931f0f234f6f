import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { digestOf } from '../../src/storage/digest.ts';
import { bodyOf, HouseSite, readPages } from '../support/house-site.ts';
import { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv, type RunResult, runCaje } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const PAGES = 60;
const STORAGE = { local: { type: 'disk', path: 'blobs', keepFree: 0 } };

describe('caje backup and restore, as one file', function () {
  this.timeout(120_000);
  let site: HouseSite;
  let folder: TempFolder;
  let saved: string;
  let args: string[];
  let data: string;

  beforeEach(async () => {
    site = await HouseSite.start();
    folder = await tempFolder();
    saved = join(folder.path, 'saved.tar');
    // A folder with a configuration and no data.
    await using node = await start('new');
    await node.stop();
    data = node.dataDir;
    await rm(data, { recursive: true });
    args = ['--config', node.configFile];
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

  async function restore(...more: string[]): Promise<RunResult> {
    return await runCaje(['restore', saved, ...more, ...args], { cwd: folder.path });
  }

  async function saveOld(): Promise<Buffer> {
    await using node = await start('old');
    await readPages(node.url, PAGES);
    const { code, stdout, stderr } = await node.run('backup', saved);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/^60 saved \(.*\), 0 there already, 0 failed\n$/);
    expect((await node.run('backup', saved)).stderr).to.include('is there already');
    return await readFile(saved);
  }

  it('saves while clients fill; every row has its body again', async () => {
    {
      await using node = await start('old');
      await readPages(node.url, PAGES);
      const filling = readPages(node.url, PAGES, PAGES);
      const { code, stderr } = await node.run('backup', saved);
      expect(code, stderr).to.equal(0);
      await filling;
    }
    expect((await stat(saved)).mode & 0o777).to.equal(0o600);
    const restored = await restore();
    expect(restored.code, restored.stderr).to.equal(0);
    expect(restored.stdout).to.match(/^\d+ restored .*, 0 there already, 0 failed\n$/);
    await using node = await start('new');
    site.asked.length = 0;
    await readPages(node.url, PAGES);
    expect(site.asked).to.deep.equal([]);
    const { stdout } = await node.run('ls', '--json');
    expect(stdout).to.not.include('"state":"missing"');
    expect((await node.run('verify')).stdout).to.match(/, 0 bad\n$/);
  });

  it('ends in order on SIGINT and leaves no file; a restore that was killed goes on', async () => {
    await using node = await start('old');
    await readPages(node.url, PAGES);
    const child = spawn(CAJE, ['backup', saved, '-c', node.configFile], {
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    while (!(await readdir(folder.path)).some((name) => name.startsWith('saved.tar')))
      await sleep(1);
    child.kill('SIGINT');
    await once(child, 'close');
    if (child.exitCode !== 0) {
      expect(child.exitCode).to.equal(1);
      expect(existsSync(saved)).to.equal(false);
      while ((await readdir(folder.path)).some((name) => name.endsWith('.part'))) await sleep(5);
      expect((await node.run('backup', saved)).code).to.equal(0);
    }
    const killed = spawn(CAJE, ['restore', saved, ...args], { env: cleanEnv(), stdio: 'ignore' });
    const blobs = join(data, 'blobs');
    while ((await readdir(blobs).catch(() => [])).length < 5) await sleep(1);
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    const { code, stdout, stderr } = await restore();
    if (code === 0) expect(stdout).to.match(/ 0 failed\n$/);
    else expect(stderr).to.include('there is a manifest already');
    expect((await readdir(data)).filter((name) => name.startsWith('restore.'))).to.deep.equal([]);
    await node.stop();
    site.asked.length = 0;
    await using moved = await start('new');
    await readPages(moved.url, PAGES);
    expect(site.asked).to.deep.equal([]);
  });

  it('refuses what is cut, damaged or something else, and makes nothing of it', async () => {
    const whole = await saveOld();
    const flip = (at: number): Buffer => {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      return bytes;
    };
    const body = whole.indexOf(`bodies/${digestOf(bodyOf('/1'))}`, 0, 'latin1');
    const note = whole.indexOf('backup.json', 0, 'latin1');
    for (const [what, bytes, said] of [
      ['nothing', Buffer.alloc(0), 'does not begin with manifest.db'],
      ['text', Buffer.from('text'), 'Unexpected end of data'],
      ['a cut manifest', whole.subarray(0, 5000), 'Unexpected end of data'],
      ['a cut body', whole.subarray(0, body + 2000), 'Unexpected end of data'],
      ['no note', whole.subarray(0, note), 'its end is missing'],
      ['a flipped body', flip(body + 600), 'other bytes came'],
      ['a flipped manifest', flip(512 + 60), 'does not match its digest'],
      ['a flipped head', flip(body + 1), 'is damaged or no archive'],
    ] as const) {
      await writeFile(saved, bytes);
      const { code, stdout, stderr } = await restore();
      expect(code, what).to.equal(1);
      expect(stdout + stderr, what).to.include(said);
      expect(existsSync(join(data, 'manifest.db')), what).to.equal(false);
      // What was put before is checked and stays: the next try would not read it again.
      await rm(data, { recursive: true });
    }
    await writeFile(saved, flip(body + 600));
    const partial = await restore('--partial');
    expect(partial.code, partial.stderr).to.equal(0);
    expect(partial.stdout).to.match(/59 restored .*, 1 failed\n$/);
  });
});
