import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'chai';
import { duRow, type GcRow, gcRow } from '../../src/storage-schemas.ts';
import { SoakSite } from '../soak/soak-site.ts';
import { CAJE, cleanEnv } from '../support/run-caje.ts';

const DEAD = '999999-1-0';

const linesOf = (stdout: string): unknown[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);

async function fill(site: SoakSite, prefix: string, count: number, size: number): Promise<void> {
  const keys = Array.from({ length: count }, (_, number) => `/${prefix}-${number}?size=${size}`);
  await Promise.all(keys.map(async (key) => await site.whole(key, size)));
  for (const key of keys.slice(-1)) await site.recorded(key);
}

describe('caje gc and du', function () {
  this.timeout(90_000);

  it('S10: gc --dry-run lists, gc removes, beside a running node and without one', async () => {
    await using site = await SoakSite.start({ seed: 1 });
    await fill(site, 'kept', 2, 100_000);
    await fill(site, 'gone', 3, 200_000);
    await fill(site, 'small', 1, 300);
    const { node } = site;
    await node.run('purge', '--prefix', `${node.url}/gone`);
    const tmp = join(node.dataDir, 'blobs', 'tmp');
    await mkdir(tmp, { recursive: true });
    await writeFile(join(tmp, `${DEAD}.x`), 'left');

    const dry = await node.run('gc', '--dry-run', '--json');
    const listed = linesOf(dry.stdout).map((line) => gcRow.parse(line));
    expect(listed.map(({ what }) => what).sort()).to.deep.equal([
      'leftover',
      'orphan',
      'orphan',
      'orphan',
    ]);
    const usage = linesOf((await node.run('du', '--json')).stdout).map((line) => duRow.parse(line));
    expect(usage).to.deep.equal([
      {
        kind: 'storage',
        storage: 'local',
        bodies: { count: 6, bytes: 800_300 },
        orphaned: { count: 3, bytes: 600_000 },
        quarantined: { count: 0, bytes: 0 },
      },
      {
        kind: 'rule',
        namespace: 'web',
        rule: 'site',
        entries: { count: 3, bytes: 200_300 },
        missing: { count: 0, bytes: 0 },
      },
    ]);
    const removed = await node.run('gc');
    expect(removed.stdout).to.include('4 removed, 585.9 KiB');
    expect((await node.run('gc')).stdout).to.equal('0 removed, 0 B\n');
    expect((await node.run('du')).stdout).to.match(
      /local +3 \(195\.6 KiB\) +0 +0\n\n.*\nsite +web +3 \(195\.6 KiB\) +0\n/,
    );

    await node.run('purge', '--prefix', `${node.url}/kept-0`);
    await node.stop();
    const alone = await node.run('gc');
    expect(alone.stdout).to.include('removed: body without an entry');
    expect(alone.stdout).to.include('1 removed, 97.7 KiB');
    const audit = await site.audit();
    expect([audit.entries, audit.orphans]).to.deep.equal([2, []]);
    expect((await node.run('gc', '--storage', 'locl')).code).to.equal(2);
  });

  it('gc takes nothing of 20 fills that run at the same time', async () => {
    await using site = await SoakSite.start({ seed: 2, config: { memory: { bodies: 0 } } });
    let running = true;
    let removed = 0;
    const collecting = (async () => {
      while (running) {
        const rows = (await site.control('gc')) as readonly GcRow[];
        removed += rows.filter(({ what }) => what === 'orphan').length;
      }
    })();
    const lane = async (number: number): Promise<void> => {
      for (let round = 0; round < 6; round++) {
        const size = [900, 90_000, 1_500_000][(number + round) % 3] ?? 0;
        const key = `/fill-${number}-${round}?size=${size}`;
        await site.whole(key, size);
        await site.recorded(key);
        expect((await site.whole(key, size)).cache).to.equal('HIT');
      }
    };
    await Promise.all(Array.from({ length: 20 }, async (_, number) => await lane(number)));
    running = false;
    await collecting;
    expect(removed).to.equal(0);
    const audit = await site.finish();
    expect([audit.entries, audit.orphans]).to.deep.equal([120, []]);
  });

  it('killed at any moment it leaves a sound store, and the next run does the rest', async () => {
    await using site = await SoakSite.start({ seed: 3 });
    await fill(site, 'kept', 3, 70_000);
    await fill(site, 'gone', 60, 70_000);
    await fill(site, 'small', 60, 500);
    const { node } = site;
    await node.run('purge', '--prefix', `${node.url}/gone`);
    await node.run('purge', '--prefix', `${node.url}/small`);
    await node.stop();
    let rows = 0;
    for (const after of [1, 20, 50]) {
      const child = spawn(CAJE, ['gc', '--json', '--config', node.configFile], { env: cleanEnv() });
      const ended = once(child, 'close');
      let seen = 0;
      for await (const _ of createInterface({ input: child.stdout })) {
        rows++;
        if (++seen === after) child.kill('SIGKILL');
      }
      await ended;
      expect((await site.audit({ leftovers: true })).entries).to.equal(3);
    }
    expect(rows).to.be.lessThan(130);
    expect((await node.run('gc')).code).to.equal(0);
    const audit = await site.audit();
    expect([audit.entries, audit.orphans]).to.deep.equal([3, []]);
  });
});
