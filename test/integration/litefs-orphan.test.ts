import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { auditCluster } from '../support/litefs-checks.ts';
import { LiteFsCluster, liteFsObstacle } from '../support/litefs-cluster.ts';
import { killWriters } from '../support/litefs-kills.ts';
import { LiteFsWriter } from '../support/litefs-writer.ts';
import { Random } from '../support/random.ts';
import { skipUnless } from '../support/skip.ts';

/** Writers that are killed while they commit; `npm run soak` kills more. */
const KILLS = 4;

/** litefs.md 9, test 16: a writer killed in its COMMIT, which may leave its LiteFS one transaction behind for good. */
describe('a writer killed in its COMMIT on a real LiteFS', function (this: Mocha.Suite) {
  this.timeout(90_000);
  let cluster: LiteFsCluster;

  before(async function (this: Mocha.Context) {
    const obstacle = liteFsObstacle();
    skipUnless(this, obstacle === undefined, obstacle ?? '', { exempt: true });
    cluster = await LiteFsCluster.start({ nodes: 2 });
  });
  after(async () => await cluster?.[Symbol.asyncDispose]());

  it('loses nothing that was acknowledged, and what is left behind is found and heals (T-16)', async () => {
    const random = new Random();
    const { acknowledged, orphans } = await killWriters(cluster, KILLS, () => random.fraction());
    process.stdout.write(`      killed in a COMMIT: ${KILLS}, left behind: ${orphans}\n`);
    // Two at least before each kill.
    expect(acknowledged.length).to.be.at.least(2 * KILLS);
    await using writer = await LiteFsWriter.start({ cluster, node: cluster.node(1) });
    expect(await writer.put('at-last')).to.include({ outcome: 'committed' });
    await delay(50);
    const keys = (await auditCluster(cluster)).map(({ key }) => key);
    expect(keys).to.include.members([...acknowledged]);
    expect(new Set(keys).size).to.equal(keys.length);
  });
});
