import { expect } from 'chai';
import fc from 'fast-check';
import {
  formatCacheControl,
  parseCacheControl,
  sameDirectives,
} from '../../src/protocol/cache-control.ts';
import { patience } from '../support/patience.ts';

const read = (value: string): Record<string, string | true> =>
  Object.fromEntries(parseCacheControl(value));

describe('Cache-Control', () => {
  const cases: readonly [value: string, expected: Record<string, string | true>][] = [
    ['max-age=60', { 'max-age': '60' }],
    ['Private, MaX-aGe=60', { private: true, 'max-age': '60' }],
    ['No-StOrE', { 'no-store': true }],
    ['max-age=0, ext="a, max-age=3600"', { 'max-age': '0', ext: 'a, max-age=3600' }],
    ['ext="a \\", no-store", max-age=5', { ext: 'a ", no-store', 'max-age': '5' }],
    ['max-age="60"', { 'max-age': '60' }],
    ["max-age='60'", { 'max-age': '0' }],
    ['max-age=60a', { 'max-age': '0' }],
    ['max-age=-1', { 'max-age': '0' }],
    ['max-age=1.5', { 'max-age': '0' }],
    ['max-age', { 'max-age': '0' }],
    ['max-age=', { 'max-age': '0' }],
    ['max-age =60', { 'max-age': '0', '60': true }],
    ['max-age= 60', { 'max-age': '0', '60': true }],
    ['max-age=99999999999999999999', { 'max-age': '2147483648' }],
    ['max-age=007', { 'max-age': '7' }],
    ['max-age=60, max-age=10', { 'max-age': '10' }],
    ['max-age=10, max-age=60', { 'max-age': '10' }],
    ['max-age=60, max-age=x', { 'max-age': '0' }],
    ['min-fresh=5, min-fresh=9', { 'min-fresh': '9' }],
    ['max-stale, max-stale=5', { 'max-stale': '5' }],
    ['max-stale', { 'max-stale': true }],
    ['private="x-a", private', { private: true }],
    ['private, private="x-a"', { private: true }],
    ['private; max-age=60', { private: true, 'max-age': '0' }],
    ['max-age=60; no-store', { 'max-age': '0', 'no-store': true }],
    ['public max-age=60', { 'max-age': '0' }],
    ['ext="a, no-store', { ext: '', a: true, 'no-store': true }],
    [' , ,max-age=60,, ', { 'max-age': '60' }],
    ['max-age=1\t,\tno-cache', { 'max-age': '1', 'no-cache': true }],
    ['', {}],
  ];
  for (const [value, expected] of cases) {
    it(`reads ${value || 'an empty value'} at its strictest`, () => {
      expect(read(value)).to.deep.equal(expected);
    });
  }

  it('reads nothing where there is no field', () => {
    expect(parseCacheControl(undefined).size).to.equal(0);
    expect(formatCacheControl(parseCacheControl(undefined))).to.equal(undefined);
  });

  it('tells meaning from spelling', () => {
    const same = (one: string, other: string): boolean =>
      sameDirectives(parseCacheControl(one), parseCacheControl(other));
    expect(same('max-age=60, public', 'Public,Max-Age="60"')).to.equal(true);
    expect(same('max-age=60', 'max-age=61')).to.equal(false);
    expect(same('max-age=60', 'max-age=60, public')).to.equal(false);
  });

  it('reads back what it writes, for any input', () => {
    const piece = fc.constantFrom(
      'max-age=5',
      'No-Cache="set-cookie, x"',
      'ext="a\\"b,\\\\"',
      'public',
      '"',
      '=',
      ' ',
      ';',
      ',',
      'é',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string()), { maxLength: 12 }), (pieces) => {
        const once = parseCacheControl(pieces.join(','));
        expect(sameDirectives(once, parseCacheControl(formatCacheControl(once)))).to.equal(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('never loses a no-store that stands as an element of its own', () => {
    const noise = fc.stringMatching(/^[ -~]*$/).filter((text) => !text.includes('"'));
    fc.assert(
      fc.property(noise, noise, (before, after) => {
        expect(parseCacheControl(`${before},no-store,${after}`).has('no-store')).to.equal(true);
      }),
    );
  });

  it('takes time in proportion to its input, whatever the input', () => {
    const size = 64 * 1024;
    for (const text of ['="\\', ' ', 'a="', '"\\"', 'a=', ',', 'a ']) {
      const value = text.repeat(size / text.length);
      const start = performance.now();
      parseCacheControl(value);
      // Generous: what is quadratic takes seconds.
      expect(performance.now() - start).to.be.below(500 * patience());
    }
  });
});
