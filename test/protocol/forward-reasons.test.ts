import { expect } from 'chai';
import type { HeaderLine } from '../../src/headers.ts';
import { openPull, type PullPlace } from './pull-place.ts';

describe('why a request goes forward, RFC 9211 §2.2', () => {
  let place: PullPlace;
  beforeEach(async () => {
    place = await openPull({ http: { statusKey: true } });
    place.behave = () => ({
      headers: [
        ['Cache-Control', 'max-age=60'],
        ['Vary', 'X-Kind'],
      ],
    });
    expect(await ask()).to.deep.equal(['miss', 'uri-miss']);
  });
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  async function ask(...headers: HeaderLine[]): Promise<unknown[]> {
    const { report } = await place.getSettled('/x', { headers });
    expect(report.key).to.equal('http://www.example.com/x');
    return [report.phase, report.forward];
  }

  it('is not told of a hit', async () => {
    expect(await ask()).to.deep.equal(['hit', undefined]);
  });

  it('is the request where that alone forbids a fresh answer', async () => {
    expect(await ask(['Cache-Control', 'no-cache'])).to.deep.equal(['revalidated', 'request']);
  });

  it('is that what is kept is stale', async () => {
    place.clock.advance(61_000);
    expect(await ask(['Cache-Control', 'no-cache'])).to.deep.equal(['revalidated', 'stale']);
  });

  it('is that no variant fits', async () => {
    expect((await ask(['X-Kind', 'other']))[1]).to.equal('vary-miss');
  });

  it('is a miss where the body is gone', async () => {
    await place.loseBody('/x');
    expect(await ask()).to.deep.equal(['miss', 'miss']);
  });
});
