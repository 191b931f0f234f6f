import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { keptBodies, manifestPath } from '../criteria/node-files.ts';
import { peerConfig } from '../criteria/peer-config.ts';
import { Site, xCache } from '../criteria/site.ts';
import type { NodeProcess } from '../support/node-process.ts';
import { CAJE, cleanEnv, runCaje } from '../support/run-caje.ts';

const HOST = 'shared.test';

interface Watch extends AsyncDisposable {
  readonly process: ChildProcess;
  /** Keys by what became of them, as they were told. */
  readonly told: { readonly key: string; readonly outcome: string }[];
  end(signal: NodeJS.Signals): Promise<number | null>;
}

async function watch(node: NodeProcess, ...args: readonly string[]): Promise<Watch> {
  const own = ['populate', '--watch', '--json', '--interval', '50ms', '--config', node.configFile];
  const child = spawn(CAJE, [...own, ...args], {
    env: cleanEnv(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit') as Promise<[number | null]>;
  const told: Watch['told'] = [];
  createInterface({ input: child.stdout }).on('line', (line) => void told.push(JSON.parse(line)));
  const end = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return (await gone)[0];
  };
  return {
    process: child,
    told,
    end,
    [Symbol.asyncDispose]: async () => void (await end('SIGKILL')),
  };
}

/** Two nodes on one manifest, each with a store of its own; the second one asks the first. */
async function pair() {
  const stack = new AsyncDisposableStack();
  const peer = stack.use(await peerConfig());
  const first = stack.use(
    await Site.start({ config: peer.listening, rules: [{ name: 'shared', host: HOST }] }),
  );
  const second = stack.use(
    await Site.start({
      config: { manifest: { path: manifestPath(first.node) } },
      rules: [{ name: 'shared', host: HOST, fetch: ['near'] }],
      fetchers: { near: peer.asking(first.node.peerUrl) },
    }),
  );
  return { first, second, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
}

/** Resolves once a watch of this node's folder knows from where it follows. */
async function follows({ dataDir }: NodeProcess): Promise<void> {
  const cursors = join(dataDir, 'populate.json');
  await eventually(
    'a cursor',
    () => existsSync(cursors) && readFileSync(cursors, 'utf8').includes('web'),
  );
}

async function bodies(site: Site): Promise<number> {
  return (await keptBodies(site.node)).length;
}

describe('caje populate --watch', function () {
  this.timeout(60_000);

  it('A11: fetches what another node put into the manifest, goes on after it was killed, and leaves serving alone', async () => {
    await using nodes = await pair();
    const { first, second } = nodes;
    await first.getAs(HOST, '/before?size=3000');
    await eventually('the row', async () => (await bodies(first)) === 1 || undefined);
    await using early = await watch(second.node);
    await follows(second.node);
    await first.getAs(HOST, '/new-1?size=3000');
    await first.getAs(HOST, '/new-2?size=300000');
    await eventually('both bodies', () => early.told.length === 2 || undefined);
    expect(early.told.map(({ outcome }) => outcome)).to.deep.equal(['fetched', 'fetched']);
    await early.end('SIGKILL');
    expect((await second.getAs(HOST, '/served?size=100')).status).to.equal(200);

    await first.getAs(HOST, '/while-away?size=4000');
    await eventually('its body', async () => (await bodies(first)) === 5 || undefined);
    await using late = await watch(second.node);
    await eventually('what came meanwhile', () => late.told.length >= 1 || undefined);
    expect(late.told.map(({ key }) => key)).to.deep.equal([`http://${HOST}/while-away?size=4000`]);
    expect(await late.end('SIGTERM')).to.equal(0);

    // Its folder holds the manifest: only the process goes.
    await first.node.stop();
    for (const [path, size] of [
      ['/new-1?size=3000', 3000],
      ['/new-2?size=300000', 300_000],
      ['/while-away?size=4000', 4000],
    ] as const) {
      const answer = await second.getAs(HOST, path);
      expect([path, xCache(answer)]).to.deep.equal([path, 'HIT']);
      expect(answer.body.equals(first.bytes(path, size))).to.equal(true);
    }
    expect((await second.getAs(HOST, '/before?size=3000')).status).to.equal(502);
  });

  it('takes only what its rule stored, and says what it cannot fetch', async () => {
    await using nodes = await pair();
    const { first, second } = nodes;
    await first.getAs(HOST, '/before?size=3000');
    await eventually('the row', async () => (await bodies(first)) === 1 || undefined);
    await using only = await watch(second.node, '--rule', 'site');
    await follows(second.node);
    await first.getAs(HOST, '/other-rule?size=2000');
    await eventually('the row', async () => (await bodies(first)) === 2 || undefined);
    // The second node's own origin has another body under this name, so nothing is to be had there.
    second.serve('/gone', { status: 404 });
    await first.get('/gone?size=10');
    await eventually('a failure', () => only.told.length > 0 || undefined);
    expect(only.told).to.have.lengthOf(1);
    expect(only.told[0]).to.include({ rule: 'site', outcome: 'failed', problem: 'status 404' });
    expect(await bodies(second)).to.equal(0);
  });

  it('refuses names beside it and a time that is none', async () => {
    for (const args of [
      ['go.mod', '--watch'],
      ['--watch', '--interval', 'soon'],
    ]) {
      const { code, stderr } = await runCaje(['populate', ...args]);
      expect([args, code]).to.deep.equal([args, 2]);
      expect(stderr).to.match(/--watch follows the manifest|expected a duration/);
    }
  });
});
