import { expect } from 'chai';
import type { ClusterNodeRow } from '../../src/cluster-schemas.ts';
import { eventually } from '../criteria/eventually.ts';
import { entryRows } from '../criteria/node-files.ts';
import { Site } from '../criteria/site.ts';
import { journalSites, OWN } from '../support/journal-sites.ts';
import type { NodeProcess } from '../support/node-process.ts';

async function statusOf(
  node: NodeProcess,
  ...args: readonly string[]
): Promise<{ code: number | undefined; rows: readonly ClusterNodeRow[] }> {
  const { code, stdout } = await node.run('cluster', 'status', '--json', ...args);
  const lines = stdout.split('\n').filter(Boolean);
  return { code, rows: lines.map((line) => JSON.parse(line) as ClusterNodeRow) };
}

describe('caje cluster status', function () {
  this.timeout(60_000);

  it('shows every node, whichever is asked: its place, its positions, how far it is behind, and who is down', async () => {
    await using sites = await journalSites();
    const { first, second } = sites;
    await first.getAs(OWN, '/a?size=100');
    await eventually('the row', () => entryRows(second.node, '/a?size=100')[0]);
    for (const { node } of [first, second]) {
      const { code, rows } = await statusOf(node);
      expect(code).to.equal(0);
      expect(rows.map(({ self }) => self)).to.deep.equal([true, false]);
      const byUrl = new Map(rows.map((row) => [row.url, row]));
      const primary = byUrl.get(first.node.peerUrl);
      const replica = byUrl.get(second.node.peerUrl);
      expect(primary).to.include({ state: 'live' });
      expect(primary?.status).to.include({ replication: 'primary', lock: 'local', term: 0 });
      expect(primary?.behind).to.equal(undefined);
      expect(replica?.status).to.include({ replication: 'replica', lock: 'peer', trusted: true });
      expect(replica?.status?.roles).to.deep.equal(['proxy', 'writer']);
      expect(replica?.behind).to.deep.equal({ changes: 0, ms: 0 });
      expect(replica?.status?.positions['web']).to.deep.equal(primary?.status?.positions['web']);
      expect(replica?.status?.positions['web']?.cursor).to.match(/^[0-9a-f]{16}:1$/);
    }
    const table = await first.node.run('cluster', 'status');
    expect(table.stdout)
      .to.match(/in replication/)
      .and.match(/replica +peer +level/);

    await second.node.kill9();
    const { code, rows } = await statusOf(first.node);
    expect(code).to.equal(1);
    const gone = rows.find(({ url }) => url === second.node.peerUrl);
    expect(gone).to.include({ state: 'down' });
    expect(gone?.problem).to.match(/ECONNREFUSED|refused|connect/i);
    const unasked = await second.node.run('cluster', 'status');
    expect([unasked.code, unasked.stderr]).to.deep.equal([
      1,
      'caje: no node runs with this configuration\n',
    ]);
  });

  it('counts the changes that a replica has not brought in, and gives up on a node that says nothing', async () => {
    await using sites = await journalSites();
    const { first, second } = sites;
    await first.getAs(OWN, '/a?size=100');
    await eventually('the row', () => entryRows(second.node, '/a?size=100')[0]);
    // It stands still: it is connected to, and nothing comes back.
    process.kill(second.node.pid, 'SIGSTOP');
    try {
      for (const path of ['/b?size=100', '/c?size=100']) await first.getAs(OWN, path);
      const { code, rows } = await statusOf(first.node, '--timeout', '300ms');
      expect(code).to.equal(1);
      expect(rows[1]).to.include({ state: 'down', problem: 'no answer in 300 ms' });
    } finally {
      process.kill(second.node.pid, 'SIGCONT');
    }
    await eventually('the row', () => entryRows(second.node, '/c?size=100')[0]);
    expect((await statusOf(second.node)).code).to.equal(0);
    // A follower that waits for news does not hold it up for the whole grace time.
    const from = performance.now();
    await first.node.stop();
    expect(performance.now() - from).to.be.lessThan(15_000);
    const { code, rows } = await statusOf(second.node);
    expect(code).to.equal(1);
    expect(rows[0]?.status?.replication).to.equal('replica');
    expect(rows[0]?.behind).to.equal(undefined);
  });

  it('of a node by itself says so, and asks nobody', async () => {
    await using site = await Site.start();
    const { code, rows } = await statusOf(site.node);
    expect(code).to.equal(0);
    expect(rows).to.have.lengthOf(1);
    expect(rows[0]).to.deep.include({ url: '', state: 'live', self: true });
    expect(rows[0]?.status).to.include({ replication: 'alone', lock: 'local' });
  });
});
