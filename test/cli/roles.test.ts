import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { entryRows, keptBodies } from '../criteria/node-files.ts';
import { peerConfig } from '../criteria/peer-config.ts';
import { Site, xCache } from '../criteria/site.ts';
import { journalSites, SHARED } from '../support/journal-sites.ts';
import { follows, startWatch } from '../support/populate-watch.ts';

async function listens(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const ended = Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
  ]).catch(() => false);
  const answers = await ended;
  socket.destroy();
  return answers;
}

describe('roles', function () {
  this.timeout(60_000);

  it('without proxy no client is served: peers, the control socket and readyz are', async () => {
    await using peer = await peerConfig();
    const roles = { ...peer.listening, roles: ['writer'] };
    await using site = await Site.start({ config: roles });
    const { node } = site;
    await eventually('the banner', () => node.output.length > 0);
    expect(node.output.join('\n')).to.match(/serves no clients .*\n.*roles: writer/s);
    expect(node.output.join('\n')).to.not.include('curl');
    expect(node.log.filter(({ msg, listener }) => msg === 'listening' && listener === 'public')).to
      .be.empty;
    const ready = await site.client.get(`${node.peerUrl}/_caje/readyz`);
    expect(ready.status).to.equal(200);
    expect(await node.counters()).to.be.an('object');
    const { stdout } = await node.run('config', 'print');
    const [, publicAddress] = /public: (\S+)/.exec(stdout) ?? [];
    expect(await listens(`http://${publicAddress}`)).to.equal(false);
    expect(await node.stop()).to.deep.equal({ code: 0, signal: undefined });
  });

  it('without writer changes go to the primary, and no promotion makes it one', async () => {
    await using sites = await journalSites({
      roles: ['proxy'],
      manifest: { replication: 'journal' },
    });
    const { first, second } = sites;
    const { stdout } = await second.node.run('config', 'print');
    expect(stdout).to.match(/lock:\n\s+type: peer/);
    await second.get('/from-second?size=900');
    await eventually('the row', () => entryRows(first.node, '/from-second?size=900')[0]);
    const promoted = await second.node.run('primary', 'promote');
    expect(promoted.code).to.equal(1);
    expect(promoted.stderr).to.include('its roles have no writer');
    const shown = await second.node.run('primary', '--json');
    expect(JSON.parse(shown.stdout)).to.include({ role: 'replica' });
  });

  it('with populate the node fetches what others put into the manifest, and a watch beside it is refused', async () => {
    await using sites = await journalSites({
      roles: ['proxy', 'writer', 'populate'],
      populate: { interval: '50ms' },
    });
    const { first, second } = sites;
    await first.getAs(SHARED, '/before?size=100');
    await eventually('the row', () => entryRows(second.node, '/before?size=100')[0]);
    await follows(second.node);
    await first.getAs(SHARED, '/ahead?size=70000');
    await eventually('the body', async () => (await keptBodies(second.node)).length > 0);
    const counters = await eventually('the counter', async () => {
      const all = await second.node.counters();
      return Object.entries(all).some(([name, n]) => name.includes('populated_total') && n > 0)
        ? all
        : undefined;
    });
    expect(Object.keys(counters).filter((name) => name.includes('populated_total'))).to.not.be
      .empty;
    await using beside = startWatch(second.node);
    expect(await beside.ended).to.equal(1);
    await first.node.stop();
    expect(xCache(await second.getAs(SHARED, '/ahead?size=70000'))).to.equal('HIT');
  });
});
