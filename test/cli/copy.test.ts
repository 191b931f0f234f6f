import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { type BodyRow, bodyRow } from '../../src/house-schemas.ts';
import { HouseSite, readPages } from '../support/house-site.ts';
import { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv } from '../support/run-caje.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const PAGES = 60;
/** A command needs about this long to begin. Milliseconds. */
const BEGUN_MS = 300;
const KILLS = 4;

const STORAGE = {
  old: { type: 'disk', path: 'old', keepFree: 0 },
  new: { type: 'disk', path: 'new', keepFree: 0 },
  memory: { type: 'memory' },
};

describe('caje copy', function () {
  this.timeout(120_000);
  let site: HouseSite;
  let folder: TempFolder;

  beforeEach(async () => {
    site = await HouseSite.start();
    folder = await tempFolder();
  });

  afterEach(async () => {
    await folder[Symbol.asyncDispose]();
    await site[Symbol.asyncDispose]();
  });

  async function start(backend: string): Promise<NodeProcess> {
    return await NodeProcess.start({
      folder: folder.path,
      config: site.config(backend, STORAGE),
    });
  }

  function rowsOf(stdout: string): BodyRow[] {
    const lines = stdout.split('\n').filter((line) => line !== '');
    return lines.map((line) => bodyRow.parse(JSON.parse(line)));
  }

  const outcomes = (rows: readonly BodyRow[]): Record<string, number> =>
    Object.fromEntries(
      Object.entries(Object.groupBy(rows, ({ outcome }) => outcome)).map(([name, all]) => [
        name,
        all.length,
      ]),
    );

  for (const running of [true, false]) {
    it(`copies what is not there yet, ${running ? 'in a running node' : 'without one'}`, async () => {
      await using node = await start('old');
      await readPages(node.url, PAGES);
      if (!running) await node.stop();

      const first = await node.run('copy', '--from', 'old', '--to', 'new', '--json');
      expect(first.code, first.stderr).to.equal(0);
      expect(outcomes(rowsOf(first.stdout))).to.deep.equal({ copied: PAGES });
      const again = await node.run('copy', '--from', 'old', '--to', 'new');
      expect(again.code).to.equal(0);
      expect(again.stdout).to.equal(`0 copied (0 B), ${PAGES} there already, 0 failed\n`);

      if (running) await node.stop();
      site.asked.length = 0;
      await using moved = await start('new');
      await readPages(moved.url, PAGES);
      expect(site.asked).to.deep.equal([]);
      expect((await moved.run('verify')).stdout).to.match(/^60 bodies, .*, 0 bad\n$/);
    });
  }

  it('goes on after SIGKILL at any moment, and leaves nothing behind', async () => {
    await using node = await start('old');
    await readPages(node.url, PAGES);
    await node.stop();
    const args = ['copy', '--from', 'old', '--to', 'new', '--json', '-c', node.configFile];
    for (let at = 0; at < KILLS; at++) {
      const child = spawn(CAJE, [...args, '--concurrency', '2'], {
        env: cleanEnv(),
        stdio: 'ignore',
      });
      await sleep(BEGUN_MS + Math.random() * BEGUN_MS);
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    const last = await node.run(...args.slice(0, -2));
    expect(last.code, last.stderr).to.equal(0);
    const rows = rowsOf(last.stdout);
    expect(rows).to.have.length(PAGES);
    expect(await readdir(join(node.dataDir, 'new', 'tmp')).catch(() => [])).to.deep.equal([]);
    expect(await readdir(join(node.dataDir, 'spool'))).to.deep.equal([]);
    site.asked.length = 0;
    await using moved = await start('new');
    await readPages(moved.url, PAGES);
    expect(site.asked).to.deep.equal([]);
  });

  for (const running of [true, false]) {
    it(`ends in order on SIGINT, ${running ? 'in a running node' : 'without one'}`, async () => {
      await using node = await start('old');
      await readPages(node.url, PAGES);
      if (!running) await node.stop();
      const child = spawn(
        CAJE,
        ['copy', '--from', 'old', '--to', 'new', '--concurrency', '1', '-c', node.configFile],
        { env: cleanEnv(), stdio: ['ignore', 'pipe', 'pipe'] },
      );
      const said: string[] = [];
      createInterface({ input: child.stdout }).on('line', (line) => said.push(line));
      const place = join(node.dataDir, 'new');
      while ((await readdir(place).catch(() => [])).length < 4) await sleep(1);
      child.kill('SIGINT');
      await once(child, 'close');
      expect(child.exitCode).to.equal(1);
      expect(said).to.have.length(1);
      expect(said[0]).to.match(/; stopped: run it again to go on$/);
      expect((await node.run('copy', '--from', 'old', '--to', 'new')).code).to.equal(0);
    });
  }

  it('reports a body that does not match its digest, and copies the others', async () => {
    await using node = await start('old');
    await readPages(node.url, PAGES);
    await node.stop();
    const place = join(node.dataDir, 'old');
    const [sub = ''] = (await readdir(place)).filter((name) => name.length === 2);
    const [digest = ''] = await readdir(join(place, sub));
    const file = await open(join(place, sub, digest), 'r+');
    await file.write(Buffer.from([1, 2, 3, 4]), 0, 4, 1000);
    await file.close();
    const { code, stdout } = await node.run('copy', '--from', 'old', '--to', 'new', '--json');
    expect(code).to.equal(1);
    const rows = rowsOf(stdout);
    expect(outcomes(rows)).to.deep.equal({ copied: PAGES - 1, failed: 1 });
    expect(rows.find(({ outcome }) => outcome === 'failed')?.digest).to.equal(digest);
    expect(await readdir(join(node.dataDir, 'new', sub)).catch(() => [])).to.not.include(digest);
  });

  it('copies into the memory of a running node, and refuses without one', async () => {
    await using node = await start('old');
    await readPages(node.url, 10);
    const { code, stdout } = await node.run('copy', '--from', 'old', '--to', 'memory');
    expect([code, stdout]).to.deep.equal([0, stdout]);
    expect(stdout).to.match(/^10 copied/);
    await node.stop();
    const refused = await node.run('copy', '--from', 'old', '--to', 'memory');
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.include('storage memory is memory of a running node, and none runs');
  });

  it('says which names are wrong', async () => {
    await using node = await start('old');
    for (const [from, to, said] of [
      ['odl', 'new', 'no storage is named "odl"; there is'],
      ['old', 'old', '--from and --to are the same storage'],
    ] as const) {
      const { code, stderr } = await node.run('copy', '--from', from, '--to', to);
      expect(code).to.equal(2);
      expect(stderr).to.include(said);
    }
    expect((await node.run('copy', '--from', 'old')).code).to.equal(2);
  });
});
