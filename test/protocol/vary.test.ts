import { expect } from 'chai';
import fc from 'fast-check';
import { HeaderList } from '../../src/headers.ts';
import {
  selectVariant,
  variantOf,
  varyNames,
  varyRequestHeaders,
} from '../../src/protocol/vary.ts';
import { patience } from '../support/patience.ts';
import { entryOf, fields, T0 } from './messages.ts';

describe('variantOf', () => {
  it('is empty where nothing is named', () => {
    expect(variantOf([], fields('Accept: a'))).to.equal('');
  });

  const same: readonly [name: string, one: readonly string[], other: readonly string[]][] = [
    ['accept-language', ['Accept-Language: en, de'], ['accept-language: EN,de']],
    ['accept-language', ['Accept-Language: en ; q=0.5'], ['Accept-Language: en;q=0.5']],
    [
      'accept-language',
      ['Accept-Language: en, de'],
      ['Accept-Language: en', 'Accept-Language: de'],
    ],
    ['x-list', ['X-List: 1,2'], ['X-List:   1 ,  2 ']],
    ['accept-encoding', ['Accept-Encoding: gzip, br'], ['Accept-Encoding: br;q=1.0, GZIP;q=0.5']],
    ['accept-encoding', ['Accept-Encoding: gzip'], ['Accept-Encoding: x-gzip, br;q=0']],
    ['ACCEPT', ['Accept: a'], ['accept: a']],
  ];
  for (const [name, one, other] of same) {
    it(`takes ${one.join(' + ')} for ${other.join(' + ')}`, () => {
      expect(variantOf([name], fields(...one))).to.equal(variantOf([name], fields(...other)));
    });
  }

  const different: readonly [name: string, one: readonly string[], other: readonly string[]][] = [
    ['accept-language', ['Accept-Language: en, de'], ['Accept-Language: de, en']],
    ['accept-language', [], ['Accept-Language:']],
    ['accept-encoding', [], ['Accept-Encoding:']],
    ['accept-encoding', ['Accept-Encoding: gzip'], ['Accept-Encoding: gzip, br']],
    ['accept-encoding', ['Accept-Encoding: gzip'], ['Accept-Encoding: gzip, identity;q=0']],
    ['accept-encoding', ['Accept-Encoding: *'], ['Accept-Encoding: *, gzip;q=0']],
    ['x-list', ['X-List: "a, b"'], ['X-List: "a,b"']],
    ['x-list', ['X-List: a'], ['X-List: A']],
    ['user-agent', ['User-Agent: a (b, c)'], ['User-Agent: a (b,c)']],
  ];
  for (const [name, one, other] of different) {
    it(`keeps ${one.join() || 'no field'} apart from ${other.join()}`, () => {
      expect(variantOf([name], fields(...one))).to.not.equal(variantOf([name], fields(...other)));
    });
  }

  it('keeps any two requests apart whose selecting values differ, wherever separators stand', () => {
    const value = fc.string({ unit: fc.constantFrom('a', 'b', '"', ']', '[', ':', '|', '\\') });
    fc.assert(
      fc.property(value, value, value, value, (a, b, c, d) => {
        fc.pre(a !== c || b !== d);
        const one = new HeaderList([
          ['X-A', a],
          ['X-B', b],
        ]);
        const other = new HeaderList([
          ['X-A', c],
          ['X-B', d],
        ]);
        expect(variantOf(['x-a', 'x-b'], one)).to.not.equal(variantOf(['x-a', 'x-b'], other));
      }),
      { numRuns: 2000 },
    );
  });

  it('takes time in proportion to its input, whatever the input', () => {
    for (const text of [' ', '"\\"', '";', ' ,', '\\"']) {
      const value = text.repeat((64 * 1024) / text.length);
      const start = performance.now();
      variantOf(['accept-encoding'], new HeaderList([['Accept-Encoding', value]]));
      // Generous: what is quadratic takes seconds.
      expect(performance.now() - start).to.be.below(500 * patience());
    }
  });
});

describe('selectVariant', () => {
  const page = (language: string, receivedAt: number) =>
    entryOf({
      receivedAt,
      requestedAt: receivedAt,
      request: [`Accept-Language: ${language}`],
      response: ['Cache-Control: max-age=60', 'Vary: Accept-Language', `X-Language: ${language}`],
    });

  it('finds the newest that fits', () => {
    const entries = [page('en', T0), page('de', T0 + 5), page('en', T0 + 9), page('en', T0 + 3)];
    expect(selectVariant(entries, fields('Accept-Language: EN'))).to.equal(entries[2]);
    expect(selectVariant(entries, fields('Accept-Language: de'))).to.equal(entries[1]);
  });

  it('finds none where none fits', () => {
    expect(selectVariant([page('en', T0)], fields('Accept-Language: fr'))).to.equal(undefined);
    expect(selectVariant([page('en', T0)], fields())).to.equal(undefined);
    expect(selectVariant([], fields())).to.equal(undefined);
  });

  it('weighs entries that vary on different fields each by its own', () => {
    const plain = entryOf({ response: ['Cache-Control: max-age=60'] });
    const entries = [plain, page('en', T0 + 5)];
    expect(selectVariant(entries, fields('Accept-Language: en'))).to.equal(entries[1]);
    expect(selectVariant(entries, fields('Accept-Language: fr'))).to.equal(plain);
  });

  it('never finds what varies on everything', () => {
    const any = { ...page('en', T0), vary: ['*'], variant: variantOf(['*'], fields()) };
    expect(selectVariant([any], fields())).to.equal(undefined);
  });
});

describe('varyRequestHeaders', () => {
  it('keeps the named fields and no other, secrets only as digests', () => {
    const request = fields(
      'Accept: a',
      'Authorization: Bearer s3cret',
      'Cookie: s3cret',
      'X-Api-Key: s3cret',
      'X-Auth-Token: s3cret',
      'User-Agent: b',
    );
    const names = ['accept', 'authorization', 'cookie', 'x-api-key', 'x-auth-token'];
    const kept = varyRequestHeaders(names, request);
    expect(kept.lines.map(([name]) => name.toLowerCase())).to.deep.equal(names);
    expect(JSON.stringify(kept.lines)).to.not.include('s3cret');
    expect(kept.get('accept')).to.equal('a');
    expect(kept.get('cookie')).to.match(/^sha256:[0-9a-f]{64}$/);
  });
});

describe('varyNames', () => {
  it('joins lines, lowers case, drops repeats and empty elements', () => {
    expect(varyNames(fields('Vary: B, a,,', 'vary: A , *'))).to.deep.equal(['*', 'a', 'b']);
    expect(varyNames(fields())).to.deep.equal([]);
  });
});
