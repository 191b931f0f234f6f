import { expect } from 'chai';
import type { HeaderLine } from '../../src/headers.ts';
import { gate, openPull, type PulledAnswer, type PullPlace } from './pull-place.ts';

describe('fields for the one who asked', () => {
  let place: PullPlace;
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  /** The value that each of these had: who began the fetch, who shared it while it ran, who came later. */
  async function seen(name: string, headers: HeaderLine[]): Promise<(string | undefined)[]> {
    const head = gate();
    place.behave = () => ({
      headers: [['Cache-Control', 'max-age=60'], ...headers],
      delay: head.opened,
    });
    const first = place.get('/x');
    await place.origin.asked(1, '/x');
    const second = place.get('/x');
    head.open();
    const answers: PulledAnswer[] = [await first, await second];
    await place.settled();
    answers.push(await place.get('/x'));
    expect(place.origin.counts('/x').requests).to.equal(1);
    return answers.map((answer) => answer.headers.get(name));
  }

  it('Set-Cookie goes to nobody else where the rule strips it, RFC 9111 §7.3', async () => {
    place = await openPull({ http: { setCookie: 'strip' } });
    const values = await seen('set-cookie', [['Set-Cookie', 'a=b']]);
    expect(values).to.deep.equal(['a=b', undefined, undefined]);
  });

  it('goes to everybody where the rule stores it', async () => {
    place = await openPull({ http: { setCookie: 'store' } });
    const values = await seen('set-cookie', [['Set-Cookie', 'a=b']]);
    expect(values).to.deep.equal(['a=b', 'a=b', 'a=b']);
  });

  for (const directive of ['private', 'no-cache'])
    it(`what ${directive} names goes to nobody else, RFC 9111 §5.2.2.4, §5.2.2.7`, async () => {
      place = await openPull();
      const values = await seen('x-user', [
        ['X-User', 'me'],
        ['Cache-Control', `${directive}="X-User"`],
      ]);
      expect(values).to.deep.equal(['me', undefined, undefined]);
    });

  it('what private names stays away after a 304 that brings it', async () => {
    place = await openPull();
    const named: HeaderLine[] = [
      ['X-User', 'me'],
      ['Cache-Control', 'max-age=60, private="X-User"'],
    ];
    place.behave = () => ({ headers: named });
    await place.getSettled('/x');
    place.clock.advance(61_000);
    const { report, headers } = await place.getSettled('/x');
    expect([report.phase, headers.has('x-user')]).to.deep.equal(['revalidated', false]);
  });
});
