import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { entryRows, keptBodies, manifestPath } from '../criteria/node-files.ts';
import { peerConfig } from '../criteria/peer-config.ts';
import { Site, xCache } from '../criteria/site.ts';
import { connectionsTo, journalSites, OWN, SHARED } from '../support/journal-sites.ts';
import { follows, startWatch } from '../support/populate-watch.ts';
import { runCaje } from '../support/run-caje.ts';

const HOST = 'shared.test';

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
    await using early = startWatch(second.node);
    await follows(second.node);
    await first.getAs(HOST, '/new-1?size=3000');
    await first.getAs(HOST, '/new-2?size=300000');
    await eventually('both bodies', () => early.told.length === 2 || undefined);
    expect(early.told.map(({ outcome }) => outcome)).to.deep.equal(['fetched', 'fetched']);
    await early.end('SIGKILL');
    expect((await second.getAs(HOST, '/served?size=100')).status).to.equal(200);

    await first.getAs(HOST, '/while-away?size=4000');
    await eventually('its body', async () => (await bodies(first)) === 5 || undefined);
    await using late = startWatch(second.node);
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
    await using only = startWatch(second.node, '--rule', 'site');
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

  it('A11: on a replica of journal replication leaves following and shipping to the node, and waits while that is away', async () => {
    await using sites = await journalSites();
    const { first, second } = sites;
    const primaryPort = Number(new URL(first.node.peerUrl).port);
    await first.getAs(SHARED, '/before?size=3000');
    await eventually('the row', () => entryRows(second.node, '/before?size=3000')[0]);
    await using early = startWatch(second.node, '--rule', 'own');
    await follows(second.node);
    // What both have from origins of their own differs, so that there is something to write.
    const row = '/differs?size=5000';
    for (const path of ['/differs', '/away']) second.serve(path, { body: 'of the second origin' });
    await first.getAs(OWN, row);
    const digest = (await eventually('the row', () => entryRows(first.node, row)[0])).digest;
    await eventually('a body', () => early.told.length > 0 || undefined);
    expect(early.told[0]).to.include({ outcome: 'replaced', rule: 'own' });
    const replaced = await eventually('the primary has what the watch brought', () =>
      entryRows(first.node, row).find((one) => one.digest !== digest),
    );
    await eventually('and the replica', () =>
      entryRows(second.node, row).some((one) => one.digest === replaced.digest),
    );
    expect(connectionsTo(second.node.pid, primaryPort)).to.be.greaterThan(0);
    expect(connectionsTo(early.process.pid ?? 0, primaryPort)).to.equal(0);

    // Alone it does not step in for the node; when that is back, all goes on.
    await second.node.stop();
    await first.getAs(OWN, '/away?size=700');
    await eventually('the row', () => entryRows(first.node, '/away?size=700')[0]);
    expect(connectionsTo(early.process.pid ?? 0, primaryPort)).to.equal(0);
    await second.node.restart();
    await eventually('what came meanwhile', () => early.told.length > 1 || undefined);
    expect(early.told[1]).to.include({ outcome: 'replaced' });
    expect(await early.end('SIGTERM')).to.equal(0);
    expect((await second.getAs(OWN, '/away?size=700')).status).to.equal(200);
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
