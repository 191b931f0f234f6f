import { expect } from 'chai';
import { judgeEntry, mayServeStaleOnError, servedHeaders } from '../../src/protocol/entry-use.ts';
import { judgeRequest } from '../../src/protocol/request-directives.ts';
import { dateAt, entryOf, fields, T0 } from './messages.ts';

const use = (
  answer: string,
  request: string,
  seconds: number,
  honorClientReload = true,
): string => {
  const entry = entryOf({ response: [`Cache-Control: ${answer}`, 'ETag: "a"'] });
  const headers = fields(...(request === '' ? [] : [request]));
  const judgement = judgeRequest(headers, { honorClientReload });
  return judgeEntry(entry, judgement, T0 + seconds * 1000).use;
};

const FRESH = 'fresh';
const STALE = 'stale-while-revalidate';
const ASK = 'revalidate';

describe('judgeEntry', () => {
  const cases: readonly [answer: string, request: string, seconds: number, expected: string][] = [
    ['max-age=60', '', 0, FRESH],
    ['max-age=60', '', 59.9, FRESH],
    ['max-age=60', '', 60, ASK],
    ['max-age=60', '', -599, FRESH],
    ['max-age=60', '', -601, ASK],
    ['max-age=60, must-revalidate', '', 59, FRESH],
    ['max-age=60, must-revalidate', '', 61, ASK],
    ['max-age=60, proxy-revalidate', '', 59, FRESH],
    ['no-cache, max-age=60', '', 0, ASK],
    ['no-cache, max-age=60', 'Cache-Control: max-stale', 1, ASK],
    ['max-age=60', 'Cache-Control: no-cache', 1, ASK],
    ['max-age=60', 'Cache-Control: No-Cache', 1, ASK],
    ['max-age=60', 'Pragma: no-cache', 1, ASK],
    ['max-age=60', 'Cache-Control: max-age=0', 0, ASK],
    ['max-age=60', 'Cache-Control: max-age=10', 9, FRESH],
    ['max-age=60', 'Cache-Control: max-age=10', 11, ASK],
    ['max-age=60', 'Cache-Control: max-age=x', 1, ASK],
    ['max-age=60', 'Cache-Control: min-fresh=10', 50, FRESH],
    ['max-age=60', 'Cache-Control: min-fresh=10', 51, ASK],
    ['max-age=60', 'Cache-Control: max-stale=10', 70, STALE],
    ['max-age=60', 'Cache-Control: max-stale=10', 71, ASK],
    ['max-age=60', 'Cache-Control: max-stale', 3600, STALE],
    ['max-age=60', 'Cache-Control: max-stale', 60 + 86_401, ASK],
    ['max-age=60, must-revalidate', 'Cache-Control: max-stale', 61, ASK],
    ['max-age=60, proxy-revalidate', 'Cache-Control: max-stale', 61, ASK],
    ['s-maxage=60', 'Cache-Control: max-stale', 61, ASK],
    ['max-age=60, stale-while-revalidate=30', '', 61, STALE],
    ['max-age=60, stale-while-revalidate=30', '', 90, ASK],
    ['max-age=60, stale-while-revalidate=30', 'Cache-Control: max-age=300', 61, ASK],
    ['s-maxage=60, stale-while-revalidate=30', '', 61, ASK],
  ];
  for (const [answer, request, seconds, expected] of cases) {
    it(`says ${expected} for ${answer} after ${seconds} s, asked with ${request || 'nothing'}`, () => {
      expect(use(answer, request, seconds)).to.equal(expected);
    });
  }

  it('ignores what a client wants anew where the rule says so', () => {
    for (const wish of ['no-cache', 'max-age=0', 'min-fresh=900'])
      expect(use('max-age=60', `Cache-Control: ${wish}`, 1, false)).to.equal(FRESH);
    expect(use('max-age=60', 'Pragma: no-cache', 1, false)).to.equal(FRESH);
  });

  it('tells age and lifetime left in whole seconds', () => {
    const entry = entryOf({ response: ['Cache-Control: max-age=60', 'Age: 5'] });
    const request = judgeRequest(fields(), { honorClientReload: true });
    expect(judgeEntry(entry, request, T0 + 1900)).to.include({ ageSeconds: 6, ttlSeconds: 53 });
    expect(judgeEntry(entry, request, T0 + 55_100)).to.include({ ageSeconds: 60, ttlSeconds: -1 });
  });

  it('does not let a clock that was set back make an answer younger', () => {
    const entry = entryOf({ response: ['Cache-Control: max-age=60', 'Age: 5'] });
    const request = judgeRequest(fields(), { honorClientReload: true });
    expect(judgeEntry(entry, request, T0 - 3_600_000).ageSeconds).to.equal(5);
  });
});

describe('mayServeStaleOnError', () => {
  const may = (answer: string, seconds: number): boolean =>
    mayServeStaleOnError(
      entryOf({ response: [`Cache-Control: ${answer}`, 'ETag: "a"'] }),
      T0 + seconds * 1000,
    );

  it('allows what the answer allows, as long as it does', () => {
    expect(may('max-age=60, stale-if-error=30', 89)).to.equal(true);
    expect(may('max-age=60, stale-if-error=30', 90)).to.equal(false);
    expect(may('max-age=60, stale-while-revalidate=30', 89)).to.equal(true);
    expect(may('max-age=60', 61)).to.equal(false);
  });

  it('allows what a rule allows beside, for so long and no longer', () => {
    const entry = entryOf({ response: ['Cache-Control: max-age=60'] });
    expect(mayServeStaleOnError(entry, T0 + 89_999, 30_000)).to.equal(true);
    expect(mayServeStaleOnError(entry, T0 + 90_000, 30_000)).to.equal(false);
    expect(mayServeStaleOnError(entry, T0 + 9e9, Infinity)).to.equal(true);
  });

  it('allows what is still fresh, but for no-cache', () => {
    expect(may('max-age=60, must-revalidate', 59)).to.equal(true);
    expect(may('no-cache, max-age=60', 1)).to.equal(false);
  });

  it('allows nothing stale under must-revalidate, proxy-revalidate and s-maxage', () => {
    for (const directive of ['must-revalidate', 'proxy-revalidate', 's-maxage=60'])
      expect(may(`max-age=60, stale-if-error=90, ${directive}`, 61)).to.equal(false);
  });
});

describe('servedHeaders', () => {
  it('replaces Age and keeps the Date of the origin and every other line', () => {
    const response = [
      `Date: ${dateAt(0)}`,
      'Age: 7',
      'Cache-Control: max-age=60',
      'X-A: 1',
      'x-a: 2',
    ];
    const served = servedHeaders(entryOf({ response }), T0 + 3999);
    expect(served.lines).to.deep.equal([
      ['Date', dateAt(0)],
      ['Age', '10'],
      ['Cache-Control', 'max-age=60'],
      ['X-A', '1'],
      ['x-a', '2'],
    ]);
  });

  it('adds the Date of arrival where the origin sent none', () => {
    const served = servedHeaders(entryOf({ response: ['Cache-Control: max-age=60'] }), T0 + 9000);
    expect(served.get('date')).to.equal(dateAt(0));
    expect(served.get('age')).to.equal('9');
  });
});

describe('judgeRequest', () => {
  const judge = (...lines: string[]) => judgeRequest(fields(...lines), { honorClientReload: true });

  it('ignores Pragma beside Cache-Control', () => {
    expect(judge('Pragma: no-cache', 'Cache-Control: max-age=5').noCache).to.equal(false);
    expect(judge('Pragma: no-cache').noCache).to.equal(true);
  });

  it('reads only-if-cached, no-store and max-stale without a number', () => {
    const judgement = judge('Cache-Control: Only-If-Cached, no-store, max-stale');
    expect(judgement).to.include({ onlyIfCached: true, noStore: true, maxStale: Infinity });
  });

  it('sends past the cache what could be personal or means another target', () => {
    expect(judge('Cookie: a=b').bypass).to.equal('cookie');
    expect(judge('Authorization: x').bypass).to.equal('authorization');
    expect(judge('If-Match: "a"').bypass).to.equal('precondition');
    expect(judge(`If-Unmodified-Since: ${dateAt(0)}`).bypass).to.equal('precondition');
    expect(judge('X-Http-Method-Override: PUT').bypass).to.equal('altered');
    expect(judge('If-None-Match: "a"', 'Range: bytes=0-1').bypass).to.equal(undefined);
  });

  it('looks up requests with cookies or credentials where the rule allows it', () => {
    const options = { honorClientReload: true, cookies: 'ignore', profile: 'rfc' } as const;
    expect(judgeRequest(fields('Cookie: a', 'Authorization: x'), options).bypass).to.equal(
      undefined,
    );
  });
});
