import { expect } from 'chai';
import { dateAt, judged, outcome, type ResponseParts, T0 } from './messages.ts';

const TAG = 'ETag: "a"';

describe('judgeResponse in profile strict', () => {
  const cases: readonly [name: string, parts: ResponseParts, expected: number | string][] = [
    ['keeps for max-age', { response: ['Cache-Control: max-age=60'] }, 60],
    ['prefers s-maxage', { response: ['Cache-Control: max-age=60, s-maxage=1'] }, 1],
    [
      'prefers max-age to Expires',
      { response: ['Cache-Control: max-age=60', `Expires: ${dateAt(9)}`] },
      60,
    ],
    ['takes Expires as leave', { response: [`Expires: ${dateAt(60)}`] }, 60],
    [
      'counts Expires from Date',
      { response: [`Date: ${dateAt(-10)}`, `Expires: ${dateAt(60)}`] },
      61,
    ],
    ['keeps nothing without leave', { response: [TAG] }, 'no-lifetime'],
    ['guesses no lifetime', { response: [`Last-Modified: ${dateAt(-86_400)}`] }, 'no-lifetime'],
    ['takes public for no lifetime', { response: ['Cache-Control: public', TAG] }, 'no-lifetime'],
    ['takes immutable for no lifetime', { response: ['Cache-Control: immutable'] }, 'no-lifetime'],
    ['honours no-store', { response: ['Cache-Control: max-age=60, No-Store'] }, 'no-store'],
    ['honours private', { response: ['Cache-Control: Private, max-age=60'] }, 'private'],
    [
      'keeps an answer of which only a field is private',
      { response: ['Cache-Control: max-age=60, private="x"'] },
      60,
    ],
    [
      'honours a no-store in a second line',
      { response: ['Cache-Control: max-age=60', 'cache-control: no-store'] },
      'no-store',
    ],
    [
      'does not read directives inside quotes',
      { response: ['Cache-Control: max-age=5, x="a, max-age=3600"'] },
      5,
    ],
    ['drops no-cache without validator', { response: ['Cache-Control: no-cache'] }, 'no-validator'],
    [
      'keeps no-cache with a validator, never fresh',
      { response: ['Cache-Control: no-cache, max-age=60', TAG] },
      0,
    ],
    ['keeps no-cache with a validator alone', { response: ['Cache-Control: no-cache', TAG] }, 0],
    ['keeps max-age=0 with a validator', { response: ['Cache-Control: max-age=0', TAG] }, 0],
    [
      'drops max-age=0 without validator',
      { response: ['Cache-Control: max-age=0'] },
      'already-stale',
    ],
    [
      'drops an expired answer without Cache-Control',
      { response: ['Expires: 0', TAG] },
      'already-stale',
    ],
    ['reads a broken max-age as 0', { response: ['Cache-Control: max-age=60a'] }, 'already-stale'],
    [
      'reads two Expires as expired',
      { response: [`Expires: ${dateAt(60)}`, `Expires: ${dateAt(60)}`] },
      'already-stale',
    ],
    [
      'ignores Pragma in answers',
      { response: ['Cache-Control: max-age=60', 'Pragma: no-cache'] },
      60,
    ],
    [
      'keeps a fresh must-revalidate',
      { response: ['Cache-Control: max-age=60, must-revalidate'] },
      60,
    ],
    [
      'keeps a fresh proxy-revalidate',
      { response: ['Cache-Control: max-age=60, proxy-revalidate'] },
      60,
    ],
    [
      'gives immutable its max-age only',
      { response: ['Cache-Control: max-age=60, immutable'] },
      60,
    ],
    ['subtracts Age', { response: ['Cache-Control: max-age=60', 'Age: 20'] }, 40],
    ['ignores a negative Age', { response: ['Cache-Control: max-age=60', 'Age: -7200'] }, 60],
    [
      'ignores an Age that is no integer',
      { response: ['Cache-Control: max-age=60', 'Age: 50.0'] },
      60,
    ],
    [
      'takes the first Age of a list',
      { response: ['Cache-Control: max-age=60', 'Age: 20, 50'] },
      40,
    ],
    [
      'drops what is too old on arrival',
      { response: ['Cache-Control: max-age=60', 'Age: 61'] },
      'already-stale',
    ],
    [
      'counts an old Date as age',
      { response: ['Cache-Control: max-age=60', `Date: ${dateAt(-31)}`] },
      30,
    ],
    [
      'counts a slow origin as age',
      { requestedAt: T0 - 5000, response: ['Cache-Control: max-age=60'] },
      55,
    ],
    [
      'adds Age and delay',
      { requestedAt: T0 - 5000, response: ['Cache-Control: max-age=60', 'Age: 5'] },
      50,
    ],
    [
      'keeps a stale answer that may be used while refreshed',
      { response: ['Cache-Control: max-age=0, stale-while-revalidate=60'] },
      0,
    ],
    ['keeps only GET', { method: 'POST', response: ['Cache-Control: max-age=60'] }, 'method'],
    ['keeps no HEAD', { method: 'HEAD', response: ['Cache-Control: max-age=60'] }, 'method'],
    [
      'refuses Set-Cookie',
      { response: ['Cache-Control: public, max-age=60', 'Set-Cookie: a=b'] },
      'set-cookie',
    ],
    [
      'refuses requests with Cookie',
      { request: ['Cookie: a=b'], response: ['Cache-Control: public, max-age=60'] },
      'cookie',
    ],
    [
      'ignores Cookie where told',
      { cookies: 'ignore', request: ['Cookie: a=b'], response: ['Cache-Control: max-age=60'] },
      60,
    ],
    [
      'refuses requests with Authorization',
      { request: ['Authorization: x'], response: ['Cache-Control: public, s-maxage=60'] },
      'authorization',
    ],
    [
      'obeys a request no-store',
      { request: ['Cache-Control: no-store'], response: ['Cache-Control: max-age=60'] },
      'request-no-store',
    ],
    [
      'refuses a method override',
      { request: ['X-HTTP-Method-Override: DELETE'], response: ['Cache-Control: max-age=60'] },
      'request-altered',
    ],
    [
      'refuses a rewritten target',
      { request: ['X-Original-URL: /admin'], response: ['Cache-Control: max-age=60'] },
      'request-altered',
    ],
    [
      'refuses Vary: *',
      { response: ['Cache-Control: max-age=60', 'Vary: Accept', 'Vary: *'] },
      'vary-any',
    ],
    [
      'refuses an answer made for one site',
      {
        request: ['Origin: http://a.example'],
        response: ['Cache-Control: max-age=60', 'Access-Control-Allow-Origin: http://a.example'],
      },
      'origin-specific',
    ],
    [
      'keeps an answer for any site',
      {
        request: ['Origin: http://a.example'],
        response: ['Cache-Control: max-age=60', 'Access-Control-Allow-Origin: *'],
      },
      60,
    ],
    [
      'keeps an answer that varies on the site',
      {
        request: ['Origin: http://a.example'],
        response: [
          'Cache-Control: max-age=60',
          'Access-Control-Allow-Origin: http://a.example',
          'Vary: origin',
        ],
      },
      60,
    ],
    [
      'does not lift no-store by must-understand',
      { response: ['Cache-Control: max-age=60, no-store, must-understand'] },
      'no-store',
    ],
  ];
  for (const [name, parts, expected] of cases) {
    it(name, () => {
      expect(outcome(parts)).to.equal(expected);
    });
  }

  it('keeps 2xx and 3xx but 206 and 304, and 404 and 410', () => {
    const kept: number[] = [];
    for (let status = 100; status <= 650; status++) {
      if (typeof outcome({ status, response: ['Cache-Control: max-age=30'] }) === 'number')
        kept.push(status);
    }
    const expected: number[] = [];
    for (let status = 200; status < 400; status++) {
      if (status !== 206 && status !== 304) expected.push(status);
    }
    expect(kept).to.deep.equal([...expected, 404, 410]);
  });

  it('keeps an absence for at most a minute and never stale', () => {
    const judgement = judged({
      status: 404,
      response: ['Cache-Control: max-age=3600, stale-if-error=3600'],
    });
    expect(judgement).to.include({ freshUntil: T0 + 60_000, staleAt: T0 + 60_000 });
  });

  it('names the fields that an answer varies on, in one form', () => {
    const judgement = judged({
      response: ['Cache-Control: max-age=60', 'Vary: Accept-Language, accept', 'vary: ACCEPT'],
    });
    expect(judgement).to.deep.include({ vary: ['accept', 'accept-language'] });
  });
});

describe('Stale windows', () => {
  const policy = (cacheControl: string): Record<string, unknown> => {
    const judgement = judged({ response: [`Cache-Control: ${cacheControl}`, TAG] });
    if (!judgement.storable) throw new Error(judgement.reason);
    const { staleAt, policy: kept } = judgement;
    return {
      staleAt: (staleAt - T0) / 1000,
      swr: kept.staleWhileRevalidateUntil === 0 ? 0 : (kept.staleWhileRevalidateUntil - T0) / 1000,
      sie: kept.staleIfErrorUntil === 0 ? 0 : (kept.staleIfErrorUntil - T0) / 1000,
    };
  };

  it('open after the lifetime and end where the answer says', () => {
    expect(policy('max-age=10, stale-while-revalidate=20, stale-if-error=30')).to.deep.equal({
      staleAt: 40,
      swr: 30,
      sie: 40,
    });
  });

  for (const forbidding of ['must-revalidate', 'proxy-revalidate', 's-maxage=10', 'no-cache']) {
    it(`stay shut under ${forbidding}`, () => {
      const kept = policy(
        `max-age=10, stale-while-revalidate=20, stale-if-error=30, ${forbidding}`,
      );
      expect(kept).to.deep.equal({ staleAt: forbidding === 'no-cache' ? 0 : 10, swr: 0, sie: 0 });
    });
  }
});
