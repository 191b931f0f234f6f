import { expect } from 'chai';
import { LiteFsDetector } from '../../src/manifest/litefs-detector.ts';
import { LiteFsNodes } from '../../src/manifest/litefs-nodes.ts';
import { eventually } from '../criteria/eventually.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { LiteFsApi } from '../support/litefs-api.ts';

describe('LiteFsDetector', () => {
  let own: LiteFsApi;
  let primary: LiteFsApi;
  beforeEach(async () => {
    [own, primary] = await Promise.all([LiteFsApi.start(), LiteFsApi.start()]);
    own.says.isPrimary = false;
  });
  afterEach(async () => {
    await own[Symbol.asyncDispose]();
    await primary[Symbol.asyncDispose]();
  });

  const at = (ownTxid: bigint, primaryTxid: bigint): void => {
    own.says.txids.set('a.db', ownTxid);
    primary.says.txids.set('a.db', primaryTxid);
  };

  it('tells of a node that stays where it is while its primary goes on, and of its end', async () => {
    const clock = new FakeClock();
    const said: string[] = [];
    at(5n, 9n);
    await using detector = new LiteFsDetector({
      nodes: new LiteFsNodes('/litefs/a.db', { api: own.url, primary: primary.url }),
      clock,
      onWedged: (problem) => said.push(problem),
      onMoving: () => said.push('moving'),
    });
    for (let i = 0; i < 5; i++) await look(clock);
    expect(said, 'for less than three seconds').to.deep.equal([]);
    at(6n, 10n);
    for (let i = 0; i < 6; i++) await look(clock);
    expect(said, 'it moved meanwhile').to.deep.equal([]);
    for (let i = 0; i < 2; i++) await look(clock);
    expect(said).to.have.length(1);
    expect(said[0]).to.contain('stays at transaction 6, its primary is at 10');
    await look(clock);
    at(10n, 10n);
    await look(clock);
    expect(said.slice(1)).to.deep.equal(['moving']);
    detector.refused();
    await look(clock);
    expect(said[2]).to.contain('HALT is refused');
  });

  it('says nothing of a primary, of one without a primary, and of one that is level', async () => {
    const clock = new FakeClock();
    const said: string[] = [];
    at(9n, 9n);
    await using _detector = new LiteFsDetector({
      nodes: new LiteFsNodes('/litefs/a.db', { api: own.url, primary: primary.url }),
      clock,
      onWedged: (problem) => said.push(problem),
      onMoving: () => said.push('moving'),
    });
    for (let i = 0; i < 8; i++) await look(clock);
    at(5n, 9n);
    own.says.primary = undefined;
    for (let i = 0; i < 8; i++) await look(clock);
    own.says.isPrimary = true;
    for (let i = 0; i < 8; i++) await look(clock);
    expect(said).to.deep.equal([]);
  });
});

/** Lets half a second go by once the detector has looked and sleeps, and waits until it sleeps again. */
async function look(clock: FakeClock): Promise<void> {
  await eventually('the detector to sleep', () => clock.sleeping === 1);
  clock.advance(500);
  // The sleep that is over leaves first, and only a look later the next one is there.
  await new Promise((resolve) => setImmediate(resolve));
  await eventually('the detector to sleep again', () => clock.sleeping === 1);
}
