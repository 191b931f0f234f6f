import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect } from 'chai';
import type { BenchReport } from '../../src/bench-halt.ts';
import { eventually } from '../criteria/eventually.ts';
import { LiteFsCluster, liteFsObstacle } from '../support/litefs-cluster.ts';
import { CAJE, cleanEnv, runCaje } from '../support/run-caje.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';

function leftOver(): string[] {
  return readdirSync(tmpdir()).filter((name) => /^caje-bench-\w{6}$/.test(name));
}

function reportsOf(stdout: string): BenchReport[] {
  const lines = stdout.split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as BenchReport);
}

describe('caje bench halt', function () {
  this.timeout(90_000);

  it('M9: has processes write one manifest under each lock, reports it, and leaves nothing behind', async () => {
    const before = leftOver();
    const { code, stdout } = await runCaje([
      'bench',
      'halt',
      '--nodes',
      '2',
      '--writes',
      '5',
      '--json',
    ]);
    expect(code).to.equal(0);
    const reports = reportsOf(stdout);
    expect(reports.map(({ lock }) => lock)).to.deep.equal(['local', 'peer']);
    for (const report of reports) {
      expect(report).to.include({ nodes: 2, writes: 10, timeouts: 0, failed: 0 });
      expect(report.writesPerSecond).to.be.greaterThan(0);
      expect(report.p50).to.be.within(0, report.p99);
      expect(report.p99).to.be.at.most(report.max);
    }
    expect(leftOver().filter((name) => !before.includes(name))).to.deep.equal([]);
    const table = await runCaje([
      'bench',
      'halt',
      '--nodes',
      '1',
      '--writes',
      '2',
      '--lock',
      'local',
    ]);
    expect(table.stdout)
      .to.match(/^lock +nodes +writes +writes\/s +p50 ms +p99 ms/)
      .and.match(/local +1 +2 /);
  });

  it('refuses mounts and APIs that do not go together', async () => {
    const apis = ['--litefs-api', 'http://127.0.0.1:1,http://127.0.0.1:2'];
    for (const args of [
      ['--litefs', '/a,/b,/c', ...apis],
      ['--litefs', '/a', '--lock', 'local'],
    ]) {
      const { code, stderr } = await runCaje(['bench', 'halt', ...args]);
      expect([code, stderr]).to.deep.equal([2, stderr]);
      expect(stderr).to.include('one API for each mount');
    }
  });

  it('ends what it started and leaves nothing behind on SIGINT and SIGTERM', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      await using folder = await tempFolder();
      const args = ['bench', 'halt', '--nodes', '2', '--writes', '1000000', '--lock', 'local'];
      const child = spawn(CAJE, args, {
        env: cleanEnv({ TMPDIR: folder.path }),
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      const ended = once(child, 'exit');
      await eventually('a manifest', () =>
        readdirSync(folder.path, { recursive: true }).some((name) =>
          String(name).endsWith('manifest.db-lock'),
        ),
      );
      child.kill(signal);
      expect(await ended).to.deep.equal([1, null]);
      expect(readdirSync(folder.path)).to.deep.equal([]);
    }
  });

  it('M9: measures a real LiteFS', async function (this: Mocha.Context) {
    const obstacle = liteFsObstacle();
    skipUnless(this, obstacle === undefined, obstacle ?? '', { exempt: true });
    await using cluster = await LiteFsCluster.start({ nodes: 2 });
    const of = (name: 'mount' | 'url'): string => cluster.nodes.map((node) => node[name]).join(',');
    const { code, stdout } = await runCaje([
      ...['bench', 'halt', '--writes', '3', '--json', '--litefs', of('mount')],
      ...['--litefs-api', of('url'), '--litefs-primary', cluster.primary.url],
    ]);
    expect(code).to.equal(0);
    expect(reportsOf(stdout)[0]).to.include({ lock: 'litefs', writes: 6, failed: 0 });
  });
});
