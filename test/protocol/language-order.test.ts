import { expect } from 'chai';
import { openPull } from './pull-place.ts';

describe('the order of languages', () => {
  for (const [languageOrder, other, expected] of [
    ['heed', 'de, en', 'miss'],
    ['ignore', 'DE ,en', 'hit'],
    ['ignore', 'de, en;q=0.5', 'miss'],
    ['ignore', 'de', 'miss'],
  ] as const)
    it(`${languageOrder}: "${other}" after "en, de" is a ${expected}`, async () => {
      await using place = await openPull({ http: { languageOrder } });
      place.behave = () => ({
        etag: false,
        headers: [
          ['Cache-Control', 'max-age=60'],
          ['Vary', 'Accept-Language'],
        ],
      });
      await place.getSettled('/x', { headers: [['Accept-Language', 'en, de']] });
      const { report } = await place.getSettled('/x', { headers: [['Accept-Language', other]] });
      expect(report.phase).to.equal(expected);
    });
});
