import { expect } from 'chai';
import { Metrics } from '../../src/metrics.ts';
import { Fills, type FlightSubject } from '../../src/stashers/fills.ts';

const subject: FlightSubject = { namespace: 'web', key: 'k', rule: 'site' };

describe('Fills', () => {
  let fills: Fills<string>;
  let metrics: Metrics;
  beforeEach(() => {
    metrics = new Metrics();
    fills = new Fills(metrics);
  });

  it('begins one fetch for all who ask while it runs', async () => {
    let begun = 0;
    const start = async (): Promise<string> => `arrival ${++begun}`;
    const flights = [1, 2, 3].map(() => fills.join('id', subject, start));
    expect(flights.map(({ leader }) => leader)).to.deep.equal([true, false, false]);
    const arrivals = await Promise.all(flights.map(async ({ arrival }) => await arrival));
    expect(new Set(arrivals)).to.deep.equal(new Set(['arrival 1']));
    expect([begun, fills.size, metrics.value('fills_joined_total')]).to.deep.equal([1, 1, 2]);
  });

  it('is idle when nothing runs any more that others could join', async () => {
    await fills.idle();
    const ends: (() => void)[] = [];
    for (const id of ['a', 'b', 'c'])
      fills.join(id, { ...subject, key: id }, async (end) => {
        ends.push(end);
        return id;
      });
    let idle = false;
    const waited = fills.idle().then(() => {
      idle = true;
    });
    ends[0]?.();
    ends[1]?.();
    await new Promise(setImmediate);
    expect(idle).to.equal(false);
    fills.forget(({ key }) => key === 'c');
    await waited;
    expect(idle).to.equal(true);
  });

  it('stays joinable after the arrival, until its end is called', async () => {
    let end = (): void => {};
    const start = async (ended: () => void): Promise<string> => {
      end = ended;
      return 'arrival';
    };
    await fills.join('id', subject, start).arrival;
    expect(fills.join('id', subject, start).leader).to.equal(false);
    end();
    expect(fills.peek('id')).to.equal(undefined);
    expect(fills.join('id', subject, start).leader).to.equal(true);
  });

  it('is begun anew after one that failed', async () => {
    const failed = fills.join('id', subject, async () => {
      throw new Error('no');
    });
    await failed.arrival.catch(() => undefined);
    expect(fills.size).to.equal(0);
    expect(fills.join('id', subject, async () => 'arrival').leader).to.equal(true);
  });

  it('keeps nothing of a fetch that ended before it gave anything', () => {
    fills.join('id', subject, async (end) => {
      end();
      return 'arrival';
    });
    expect(fills.size).to.equal(0);
  });

  it('does not end the next one when a forgotten one ends', async () => {
    let end = (): void => {};
    fills.join('id', subject, async (ended) => {
      end = ended;
      return 'old';
    });
    fills.forget(({ key }) => key === 'k');
    const next = fills.join('id', subject, async () => 'new');
    expect(next.leader).to.equal(true);
    end();
    expect(await fills.peek('id')?.arrival).to.equal('new');
  });

  it('forgets only what fits', () => {
    fills.join('one', subject, async () => 'arrival');
    fills.join('two', { ...subject, key: 'other' }, async () => 'arrival');
    fills.forget(({ key }) => key === 'k');
    expect([fills.peek('one'), fills.peek('two')?.subject.key]).to.deep.equal([undefined, 'other']);
  });
});
