import { expect } from 'chai';
import type { HeaderLine } from '../../src/headers.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { openPull, type PulledAnswer, type PullPlace } from './pull-place.ts';

const FRESH: HeaderLine = ['Cache-Control', 'max-age=60'];

describe('HEAD of what is kept and stale, RFC 9111 §4.3.5', () => {
  let place: PullPlace;
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  async function stale(freshness: 'strict' | 'rfc', stored: Behaviour = {}): Promise<void> {
    place = await openPull({ settings: { freshness } });
    place.behave = () => ({ headers: [FRESH, ['X-A', '1']], ...stored });
    await place.getSettled('/x');
    place.clock.advance(61_000);
  }

  async function head(answer: Behaviour): Promise<PulledAnswer> {
    place.behave = () => answer;
    return await place.getSettled('/x', { method: 'HEAD' });
  }

  /** How a GET is answered then, and by how many requests to the origin in all. */
  async function get(): Promise<readonly [phase: string, requests: number]> {
    place.behave = () => ({ headers: [FRESH] });
    const { report } = await place.getSettled('/x');
    return [report.phase, place.origin.counts('/x').requests];
  }

  it('is asked with HEAD and the stored tag, and a 304 makes it fresh', async () => {
    await stale('strict');
    const answer = await head({ status: 304, headers: [FRESH, ['X-B', '2']] });
    const seen = place.origin.seen.at(-1);
    expect([seen?.method, answer.status, answer.report.phase]).to.deep.equal([
      'HEAD',
      200,
      'revalidated',
    ]);
    expect([answer.headers.get('x-a'), answer.headers.get('x-b')]).to.deep.equal(['1', '2']);
    expect(await get()).to.deep.equal(['hit', 2]);
  });

  it('is made fresh by a 200 that names the same tag and length', async () => {
    await stale('strict', { etag: '"t"' });
    const answer = await head({ status: 200, etag: '"t"', headers: [FRESH, ['X-A', '2']] });
    expect(answer.headers.get('x-a')).to.equal('2');
    expect(await get()).to.deep.equal(['hit', 2]);
  });

  for (const [what, answer] of [
    ['another tag', { status: 200, etag: '"other"' }],
    ['another length', { status: 200, etag: '"t"', declared: 7 }],
    [
      'another coding',
      { status: 200, etag: '"t"', headers: [FRESH, ['Content-Encoding', 'gzip']] },
    ],
    ['an error', { status: 410 }],
  ] as const satisfies readonly (readonly [string, Behaviour])[])
    it(`is not made fresh by ${what}, nor is the answer kept`, async () => {
      await stale('strict', { etag: '"t"' });
      const { status, report, headers } = await head({ headers: [FRESH], ...answer });
      expect([status, report.phase]).to.deep.equal([answer.status, 'miss']);
      expect(headers.has('x-a')).to.equal(false);
      const [phase, requests] = await get();
      expect([phase === 'hit', requests]).to.deep.equal([false, 3]);
    });

  it('is made fresh by a 200 that names no validator in profile rfc alone', async () => {
    for (const [freshness, expected] of [
      ['rfc', ['hit', 2]],
      ['strict', ['miss', 3]],
    ] as const) {
      await stale(freshness, { etag: false, omit: ['Last-Modified'] });
      await head({ etag: false, omit: ['Last-Modified'], headers: [FRESH] });
      expect(await get()).to.deep.equal(expected);
      if (freshness === 'rfc') await place[Symbol.asyncDispose]();
    }
  });
});
