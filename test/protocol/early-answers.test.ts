import { expect } from 'chai';
import type { HeaderLine } from '../../src/headers.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { openPull, type PulledAnswer, type PullPlace } from './pull-place.ts';

const TAG = '"t1"';

describe('what has come whole and is not on record yet', () => {
  let place: PullPlace;
  beforeEach(async () => {
    place = await openPull({ settings: { freshness: 'rfc' } });
    // The store takes its time, so that no row is there while these tests ask.
    place.backend.hold();
  });
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  async function ask(...headers: HeaderLine[]): Promise<PulledAnswer> {
    return await place.get('/x', { headers });
  }

  async function came(cacheControl: string): Promise<void> {
    const plain: Behaviour = { etag: TAG, headers: [['Cache-Control', cacheControl]] };
    place.behave = () => plain;
    await ask();
    expect(place.backend.asked).to.equal(1);
  }

  for (const [what, field] of [
    ['a condition', ['If-None-Match', TAG]],
    ['a range', ['Range', 'bytes=0-1']],
  ] as const)
    it(`answers ${what}`, async () => {
      await came('max-age=60');
      const { report, selectable } = await ask(field);
      expect([report.phase, selectable]).to.deep.equal(['hit', true]);
      expect(place.origin.counts('/x').requests).to.equal(1);
    });

  it('answers HEAD', async () => {
    await came('max-age=60');
    const { report } = await place.get('/x', { method: 'HEAD' });
    expect(report.phase).to.equal('hit');
    expect(place.origin.counts('/x').requests).to.equal(1);
  });

  it('is asked about where it must not be used unasked', async () => {
    await came('no-cache');
    const { status, body, report } = await ask();
    expect([status, body.length, report.phase]).to.deep.equal([200, 1024, 'revalidated']);
    expect(report.forwardStatus).to.equal(304);
    expect(place.origin.counts('/x').requests).to.equal(2);
  });
});
