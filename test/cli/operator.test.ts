import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { request } from 'undici';
import { type SlowServer, startSlowServer } from '../../src/cli/slow-server.ts';
import { NodeProcess } from '../support/node-process.ts';
import { type RunResult, runCaje } from '../support/run-caje.ts';

describe('caje ls, journal, purge, verify, counters', function () {
  this.timeout(90_000);
  let origin: SlowServer;
  let node: NodeProcess;

  beforeEach(async () => {
    origin = await startSlowServer({ host: '127.0.0.1', port: 0 });
    node = await NodeProcess.start({
      config: {
        fetchers: { site: { type: 'origin', url: origin.url } },
        rules: [{ name: 'site', protocol: 'http', fetch: 'site' }],
      },
    });
  });

  afterEach(async () => {
    await node[Symbol.asyncDispose]();
    await origin.close();
  });

  async function caje(...args: string[]): Promise<RunResult> {
    return await runCaje([...args, '--config', node.configFile], { env: { NO_COLOR: '1' } });
  }

  async function get(path: string): Promise<{ cache: string | undefined; url: string }> {
    const url = new URL(path, node.url).href;
    const { headers, body } = await request(url);
    await body.dump();
    return { cache: headers['x-cache'] as string | undefined, url };
  }

  async function rows(): Promise<Record<string, unknown>[]> {
    const { stdout, code } = await caje('ls', '--json');
    expect(code).to.equal(0);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  it('lists what is kept, in a running node and without one', async () => {
    const { url } = await get('/size/100');
    await get('/size/200000');
    for (const running of [true, false]) {
      if (!running) expect((await node.stop()).code).to.equal(0);
      const kept = await rows();
      expect(kept, `running: ${running}`).to.have.length(2);
      expect(kept[0]).to.include({
        key: url,
        rule: 'site',
        size: 100,
        status: 200,
        state: 'present',
      });
      const { stdout } = await caje('ls');
      expect(stdout).to.include(url).and.to.not.include('\u001b[');
    }
  });

  for (const running of [true, false]) {
    it(`purges by key, prefix and rule ${running ? 'in a running node' : 'without one'}`, async () => {
      const one = await get('/size/1');
      await get('/size/2');
      await get('/size/3');
      if (!running) await node.stop();
      const byKey = await caje('purge', one.url, '--json');
      expect(JSON.parse(byKey.stdout)).to.include({ entries: 1 });
      const soft = await caje('purge', '--prefix', new URL('/size/2', one.url).href, '--soft');
      expect(soft.stdout).to.include('made stale: 1 entry');
      expect(await rows()).to.have.length(2);
      const byRule = await caje('purge', '--rule', 'site', '--json');
      expect(JSON.parse(byRule.stdout)).to.include({ entries: 2 });
      expect(await rows()).to.have.length(0);
      if (running) expect((await get('/size/1')).cache).to.equal('MISS');
    });
  }

  it('shows every change since a cursor', async () => {
    await get('/size/1');
    const first = JSON.parse((await caje('journal', '--json')).stdout) as {
      rows: object[];
      cursor: string;
    };
    expect(first.rows).to.have.length(1);
    await get('/size/2');
    const next = JSON.parse((await caje('journal', '--since', first.cursor, '--json')).stdout) as {
      rows: { jid: number; op: string }[];
    };
    expect(next.rows.map(({ jid, op }) => [jid, op])).to.deep.equal([[2, 'put']]);
    const wrong = await caje('journal', '--since', 'elsewhere:1');
    expect(wrong.code).to.not.equal(0);
    expect(wrong.stderr).to.not.include('    at ');
  });

  it('verify reads every body and reports the bad one', async () => {
    await get('/size/100');
    await get('/size/300000');
    expect((await caje('verify')).stdout)
      .to.include('2 bodies')
      .and.to.include('0 bad');
    const blobs = join(node.dataDir, 'blobs');
    const files = (await readdir(blobs, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    );
    expect(files).to.have.length(1);
    await rm(join(files[0]?.parentPath ?? '', files[0]?.name ?? ''));
    const result = await caje('verify');
    expect(result.code).to.equal(1);
    expect(result.stdout).to.include('1 bad');
    expect((await get('/size/300000')).cache).to.equal('MISS');
  });

  it('counters --json is one object of every counter', async () => {
    await get('/size/1');
    const counters = JSON.parse((await caje('counters', '--json')).stdout) as Record<
      string,
      number
    >;
    expect(counters['fills_total{site}']).to.equal(1);
    expect(counters).to.have.property('halt_timeouts_total', 0);
  });

  it('C4: an idle node ends at once, with 0', async () => {
    await get('/size/1');
    const begun = performance.now();
    expect((await node.stop()).code).to.equal(0);
    expect(performance.now() - begun).to.be.lessThan(8_000);
  });

  it('C4: a download that runs is finished before the node ends', async () => {
    const answer = await request(new URL('/stream?chunks=6&interval=300&size=1000', node.url));
    const stopped = node.stop();
    expect((await answer.body.arrayBuffer()).byteLength).to.equal(6000);
    expect((await stopped).code).to.equal(0);
  });
});
