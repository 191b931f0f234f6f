import { expect } from 'chai';
import { formatHttpDate, parseHttpDate } from '../../src/protocol/http-date.ts';

const NOW = Date.UTC(2026, 10, 21);
const SAMPLE = Date.UTC(1994, 10, 6, 8, 49, 37);

describe('HTTP dates', () => {
  const right: readonly [text: string, ms: number][] = [
    ['Sun, 06 Nov 1994 08:49:37 GMT', SAMPLE],
    ['sun, 06 nov 1994 08:49:37 gmt', SAMPLE],
    ['Sunday, 06-Nov-94 08:49:37 GMT', SAMPLE],
    ['Sun Nov  6 08:49:37 1994', SAMPLE],
    ['Sun Nov 16 08:49:37 1994', Date.UTC(1994, 10, 16, 8, 49, 37)],
    ['Saturday, 21-Nov-76 00:00:00 GMT', Date.UTC(2076, 10, 21)],
    ['Monday, 21-Nov-77 00:00:00 GMT', Date.UTC(1977, 10, 21)],
    ['Thu, 29 Feb 2024 00:00:00 GMT', Date.UTC(2024, 1, 29)],
    ['Sat, 01 Jan 0050 00:00:00 GMT', new Date('0050-01-01T00:00:00Z').getTime()],
    ['Sun, 31 Dec 1995 23:59:60 GMT', Date.UTC(1996, 0, 1)],
  ];
  for (const [text, ms] of right) {
    it(`reads ${text}`, () => {
      expect(parseHttpDate(text, NOW)).to.equal(ms);
    });
  }

  const wrong = [
    '0',
    '',
    'now',
    '-1',
    '1994-11-06T08:49:37Z',
    'Sun, 06 Nov 1994 08:49:37 UTC',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 8:49:37 GMT',
    'Sun, 6 Nov 1994 08:49:37 GMT',
    'Sun 06 Nov 1994 08:49:37 GMT',
    'Sun,  06 Nov 1994 08:49:37 GMT',
    'Sun, 06-Nov-1994 08:49:37 GMT',
    'Sun, 06 Nov 94 08:49:37 GMT',
    'Xyz, 06 Nov 1994 08:49:37 GMT',
    'Sun, 31 Feb 1994 08:49:37 GMT',
    'Thu, 29 Feb 2023 00:00:00 GMT',
    'Sun, 00 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:00:00 GMT',
    'Sun, 06 Nov 1994 08:60:37 GMT',
    'Sun, 06 Nov 1994 08:49:61 GMT',
    'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT',
  ];
  for (const text of wrong) {
    it(`refuses ${text || 'an empty text'}`, () => {
      expect(parseHttpDate(text, NOW)).to.equal(undefined);
    });
  }

  it('writes the preferred form', () => {
    expect(formatHttpDate(SAMPLE + 999)).to.equal('Sun, 06 Nov 1994 08:49:37 GMT');
  });
});
