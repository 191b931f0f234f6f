import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { digestOf } from '../../src/storage/digest.ts';
import { type TarRow, tarRow } from '../../src/tar-schemas.ts';
import { bodyOf, HouseSite, readPages } from '../support/house-site.ts';
import { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const PAGES = 60;
const KILLS = 4;
/** A command needs about this long to begin. Milliseconds. */
const BEGUN_MS = 300;
const STORAGE = { local: { type: 'disk', path: 'blobs', keepFree: 0 } };

describe('caje export and import --format tar', function () {
  this.timeout(120_000);
  let site: HouseSite;
  let folder: TempFolder;
  let archive: string;

  beforeEach(async () => {
    site = await HouseSite.start();
    folder = await tempFolder();
    archive = join(folder.path, 'site.tar');
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

  function rowsOf(stdout: string): TarRow[] {
    const lines = stdout.split('\n').filter((line) => line !== '');
    return lines.map((line) => tarRow.parse(JSON.parse(line)));
  }

  for (const running of [true, false]) {
    it(`moves what is kept to another node, ${running ? 'both running' : 'none running'}`, async () => {
      await using from = await start('from');
      await readPages(from.url, PAGES);
      if (!running) await from.stop();
      const written = await from.run('export', archive, '--format', 'tar');
      expect(written.code, written.stderr).to.equal(0);
      expect(written.stdout).to.match(/^60 written \(.*\), 0 failed\n$/);
      expect((await stat(archive)).mode & 0o777).to.equal(0o600);

      await using to = await start('to');
      if (!running) {
        await to.stop();
        await rm(to.dataDir, { recursive: true });
      }
      const dry = await to.run('import', archive, '--format', 'tar', '--dry-run');
      expect(dry.stdout).to.match(/^60 would be imported \(.*\), 0 kept already, 0 failed\n$/);
      const first = await to.run('import', archive, '--format', 'tar', '--json');
      expect(first.code, first.stderr).to.equal(0);
      expect(rowsOf(first.stdout).map(({ outcome }) => outcome)).to.deep.equal(
        Array.from({ length: PAGES }, () => 'imported'),
      );
      const again = await to.run('import', archive, '--format', 'tar');
      expect(again.stdout).to.equal('0 imported (0 B), 60 kept already, 0 failed\n');
      if (!running) await to.restart();
      site.asked.length = 0;
      await readPages(to.url, PAGES);
      expect(site.asked).to.deep.equal([]);
      expect((await to.run('verify')).stdout).to.match(/^60 bodies, .*, 0 bad\n$/);
    });
  }

  it('takes what fits of rule and prefix, gives the same bytes again, and replaces no file', async () => {
    await using from = await start('from');
    await readPages(from.url, PAGES);
    const some = ['export', archive, '--format', 'tar', '--prefix', 'http://a.test/1'];
    expect((await from.run(...some)).stdout).to.match(/^11 written/);
    const taken = await from.run(...some);
    expect(taken.code).to.equal(1);
    expect(taken.stderr).to.include('is there already');
    const other = join(folder.path, 'other.tar');
    await from.run('export', other, ...some.slice(2));
    expect((await readFile(other)).equals(await readFile(archive))).to.equal(true);
    const none = join(folder.path, 'none.tar');
    expect((await from.run('export', none, '--format', 'tar', '--rule', 'x')).stdout).to.match(
      /^0 written/,
    );
    const nowhere = await from.run('export', join(folder.path, 'no/x.tar'), '--format', 'tar');
    expect(nowhere.code).to.equal(2);
    expect(nowhere.stderr).to.include('ENOENT');
  });

  it('heals rows whose bodies are missing, and keeps what is kept', async () => {
    await using node = await start('from');
    await readPages(node.url, PAGES);
    await node.run('export', archive, '--format', 'tar');
    await node.stop();
    await rm(join(node.dataDir, 'blobs'), { recursive: true });
    const { code, stdout, stderr } = await node.run('import', archive, '--format', 'tar');
    expect(code, stderr).to.equal(0);
    const [, imported, kept] =
      /^(\d+) imported .* (\d+) kept already, 0 failed\n$/.exec(stdout) ?? [];
    expect(Number(imported) + Number(kept)).to.equal(PAGES);
    expect(Number(imported)).to.be.greaterThan(0);
    await node.restart();
    site.asked.length = 0;
    await readPages(node.url, PAGES);
    expect(site.asked).to.deep.equal([]);
  });

  it('leaves no file after SIGKILL while it is written; an import goes on after it', async () => {
    await using node = await start('from');
    await readPages(node.url, PAGES);
    await node.stop();
    const killSome = async (...args: string[]): Promise<void> => {
      for (let at = 0; at < KILLS; at++) {
        const child = spawn(CAJE, args, { env: cleanEnv(), stdio: 'ignore' });
        await sleep(BEGUN_MS + Math.random() * BEGUN_MS);
        child.kill('SIGKILL');
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      }
    };
    const args = ['--format', 'tar', '-c', node.configFile];
    await killSome('export', archive, ...args);
    if (!existsSync(archive))
      expect((await node.run('export', archive, '--format', 'tar')).code).to.equal(0);
    expect(await readdir(folder.path)).to.have.members(['from', 'site.tar']);

    await using to = await start('to');
    await to.stop();
    await killSome('import', archive, '--format', 'tar', '-c', to.configFile);
    const { code, stdout } = await to.run('import', archive, '--format', 'tar');
    expect(code).to.equal(0);
    expect(stdout).to.match(/, 0 failed\n$/);
    await to.restart();
    site.asked.length = 0;
    await readPages(to.url, PAGES);
    expect(site.asked).to.deep.equal([]);
  });

  it('refuses what is cut or damaged, and keeps what came before whole', async () => {
    await using node = await start('from');
    await readPages(node.url, PAGES);
    await node.run('export', archive, '--format', 'tar');
    const whole = await readFile(archive);
    await using to = await start('to');
    const run = async (): Promise<{ code: number | undefined; stderr: string }> =>
      await to.run('import', archive, '--format', 'tar');

    for (const size of [0, 1024, 200_000, whole.length - 2048]) {
      await truncate(archive, size);
      const { code, stderr } = await run();
      expect(code, `${size}`).to.equal(1);
      expect(stderr).to.include('is damaged or no archive of caje');
      await writeFile(archive, whole);
    }
    // Rows whose bodies came whole are there; in another node nothing is.
    expect((await to.run('ls', '--json')).stdout.trim().split('\n').length).to.be.at.least(
      PAGES - 1,
    );
    await using fresh = await start('fresh');
    const flipped = Buffer.from(whole);
    const at = whole.indexOf(`bodies/${digestOf(bodyOf('/1'))}`, 0, 'latin1') + 512 + 100;
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    await writeFile(archive, flipped);
    const { code, stdout } = await fresh.run('import', archive, '--format', 'tar');
    expect([code, /other bytes came/.test(stdout)]).to.deep.equal([1, true]);
    expect(stdout).to.match(/59 imported .*, 1 failed\n$/);
    await writeFile(archive, 'no tar at all');
    expect((await run()).code).to.equal(1);
    await rm(archive);
    expect((await run()).code).to.equal(2);
    site.asked.length = 0;
    await readPages(fresh.url, PAGES);
    expect(site.asked).to.have.length(1);
  });

  it('says which rule would have to keep a row, and takes another', async () => {
    await using node = await start('from');
    await readPages(node.url, 3);
    await node.run('export', archive, '--format', 'tar');
    const config = { ...site.config('local', STORAGE) };
    const home = join(folder.path, 'other');
    await mkdir(home);
    const rules = (config['rules'] as readonly object[]).map((rule) => ({ ...rule, name: 'shop' }));
    await using to = await NodeProcess.start({ folder: home, config: { ...config, rules } });
    const refused = await to.run('import', archive, '--format', 'tar');
    expect(refused.code).to.equal(1);
    expect(refused.stdout).to.include('there is no rule "site": name one with --rule');
    const unknown = await to.run('import', archive, '--format', 'tar', '--rule', 'shp');
    expect(unknown.code).to.equal(2);
    const taken = await to.run('import', archive, '--format', 'tar', '--rule', 'shop');
    expect(taken.stdout).to.match(/^3 imported/);
    site.asked.length = 0;
    await readPages(to.url, 3);
    expect(site.asked).to.deep.equal([]);
    expect(
      (await to.run('ls', '--rule', 'shop', '--json')).stdout.trim().split('\n'),
    ).to.have.length(3);
  });
});
