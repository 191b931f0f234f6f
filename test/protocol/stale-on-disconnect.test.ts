import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { failureOf } from '../contract/backend-fixture.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { openPull, type PullPlace } from './pull-place.ts';

const HOUR = 3_600_000;
const CUT: Behaviour = { reset: -1 };

describe('stale answers for an origin that cannot be reached, RFC 9111 §4.2.4', () => {
  let place: PullPlace;

  async function open(staleOnDisconnectMs: number): Promise<void> {
    place = await openPull({ http: { staleOnDisconnectMs } });
  }

  async function stale(cacheControl: string, then: Behaviour, afterMs = 61_000): Promise<void> {
    place.behave = () => ({ headers: [['Cache-Control', cacheControl]] });
    await place.getSettled('/x');
    place.behave = () => then;
    place.clock.advance(afterMs);
  }

  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  it('stand in for as long as the rule says', async () => {
    await open(HOUR);
    await stale('max-age=60', CUT, HOUR + 59_000);
    const { status, report } = await place.get('/x');
    expect([status, report.phase, report.forward]).to.deep.equal([200, 'stale', 'stale']);
    place.clock.advance(10_000);
    expect(kindOf(await failureOf(place.get('/x')))).to.equal('upstream');
  });

  it('do not stand in where the rule says nothing', async () => {
    await open(0);
    await stale('max-age=60', CUT);
    expect(kindOf(await failureOf(place.get('/x')))).to.equal('upstream');
  });

  it('do not stand in for an error that the origin sends', async () => {
    await open(HOUR);
    await stale('max-age=60', { status: 503 });
    expect((await place.get('/x')).status).to.equal(503);
  });

  // RFC 9111 §5.2.2.2 wants a 504 of what must be validated.
  for (const [directive, kind] of [
    ['must-revalidate', 'timeout'],
    ['proxy-revalidate', 'timeout'],
    ['s-maxage=60', 'timeout'],
    ['no-cache', 'upstream'],
  ] as const)
    it(`do not stand in against ${directive}`, async () => {
      await open(HOUR);
      await stale(`max-age=60, ${directive}`, CUT);
      expect(kindOf(await failureOf(place.get('/x')))).to.equal(kind);
    });
});
