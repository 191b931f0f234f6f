import { expect } from 'chai';
import type { ClusterNodeRow } from '../../src/cluster-schemas.ts';
import { liteFsObstacle } from '../support/litefs-cluster.ts';
import { LiteFsSites } from '../support/litefs-sites.ts';
import { MANIFEST } from '../support/litefs-writer.ts';
import { skipUnless } from '../support/skip.ts';

describe('caje cluster status on a real LiteFS', function (this: Mocha.Suite) {
  this.timeout(90_000);
  let sites: LiteFsSites;

  before(async function (this: Mocha.Context) {
    const obstacle = liteFsObstacle();
    skipUnless(this, obstacle === undefined, obstacle ?? '', { exempt: true });
    sites = await LiteFsSites.start();
    await sites.ask(0, '/page');
    await sites.written('/page');
    await sites.liteFs.inStep(MANIFEST);
  });
  after(async () => await sites?.[Symbol.asyncDispose]());

  const statusOf = async (
    index: number,
  ): Promise<{ code: number | undefined; rows: readonly ClusterNodeRow[] }> => {
    const { code, stdout } = await sites.node(index).run('cluster', 'status', '--json');
    const lines = stdout.split('\n').filter(Boolean);
    return { code, rows: lines.map((line) => JSON.parse(line) as ClusterNodeRow) };
  };

  it('shows the lock, the place and the transaction of each node, whichever is asked', async () => {
    const txid = String(await sites.liteFs.primary.txid(MANIFEST));
    for (const index of [0, 1]) {
      const { code, rows } = await statusOf(index);
      expect(code).to.equal(0);
      expect(rows.map(({ self }) => self)).to.deep.equal([true, false]);
      const [first, second] = sites.nodes.map(({ peerUrl }) =>
        rows.find(({ url }) => url === peerUrl),
      );
      expect(first?.status).to.include({ lock: 'litefs' });
      expect(first?.status?.litefs).to.include({ txid, primary: '' });
      expect(second?.status?.litefs).to.include({ txid, primary: 'n1' });
      expect(second?.status?.positions['web']).to.deep.equal(first?.status?.positions['web']);
    }
    const { stdout } = await sites.node(1).run('cluster', 'status');
    expect(stdout).to.include(`LiteFS at transaction ${txid}, primary heard of`);
  });

  it('ends with 1 while a node is down', async () => {
    await sites.node(1).kill9();
    const { code, rows } = await statusOf(0);
    expect(code).to.equal(1);
    expect(rows.find(({ self }) => !self)).to.include({ state: 'down' });
  });
});
