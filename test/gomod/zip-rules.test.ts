import { expect } from 'chai';
import {
  Collisions,
  checkFilePath,
  decodeName,
  fold,
  quoteName,
} from '../../src/gomod/zip-rules.ts';

describe('Rules of names in module zips', () => {
  it('hold letters equal that differ in simple case folding only', () => {
    const equal = [
      ['A', 'a'],
      ['K', '\u212a', 'k'],
      ['S', 's', 'ſ'],
      ['ß', 'ẞ'],
      ['Σ', 'σ', 'ς'],
      ['µ', 'μ', 'Μ'],
      ['ǅ', 'Ǆ', 'ǆ'],
      ['Å', '\u212b', 'å'],
      ['θ', 'ϑ', 'Θ', 'ϴ'],
      ['Ꭰ', 'ꭰ'],
      ['ა', 'Ა'],
      ['ᾳ', 'ᾼ'],
      ['𐐀', '𐐨'],
    ];
    for (const [first = '', ...others] of equal)
      for (const other of others) expect(fold(`é${other}`), other).to.equal(fold(`É${first}`));
    const apart = ['i', 'ı', 'İ', 'ss', 'ß', 'ŉ', 'n', 'ΐ', '\u1fd3', 'ﬅ', 'ﬆ'];
    expect(new Set(apart.map(fold)).size).to.equal(apart.length);
  });

  it('find what cannot lie side by side', () => {
    const collisions = new Collisions();
    expect(collisions.add('a/b/c', false)).to.equal(undefined);
    expect(collisions.add('a', true)).to.equal(undefined);
    expect(collisions.add('a/b', true)).to.equal(undefined);
    expect(collisions.add('a/b/c', false)).to.include('twice');
    expect(collisions.add('a/b', false)).to.include('both');
    expect(collisions.add('A/x', false)).to.include('case');
    expect(collisions.add('a/b/C', false)).to.include('case');
  });

  it('take letters of any script and some signs', () => {
    for (const path of [
      'a',
      'a/b',
      '-',
      '.a',
      'a b',
      '日本',
      '!#$%&()+,-.=@[]^_{}~x',
      'com0',
      'a~1',
    ])
      expect(checkFilePath(path), path).to.equal(undefined);
    for (const path of [
      '',
      '/',
      'a/',
      '/a',
      'a//b',
      '.',
      '..',
      'a.',
      'a:b',
      'a*',
      "a'b",
      'a|b',
      '\x7f',
      '१',
      'CON',
      'a/lpt1.x',
    ])
      expect(checkFilePath(path), path).to.be.a('string');
  });

  it('read names as UTF-8 and quote them shortly', () => {
    expect(decodeName('abc')).to.equal('abc');
    expect(decodeName('\xc3\xa4')).to.equal('ä');
    for (const bytes of ['\xff', '\xc3', '\xc0\x80', '\xed\xa0\x80'])
      expect(decodeName(bytes)).to.equal(undefined);
    expect(quoteName('a\n"b')).to.equal('"a\\n\\"b"');
    expect(quoteName('x'.repeat(10_000)).length).to.be.below(150);
  });
});
