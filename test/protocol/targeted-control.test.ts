import { expect } from 'chai';
import { targetedControl } from '../../src/protocol/targeted-control.ts';
import { dateAt, fields, outcome } from './messages.ts';

const CDN = 'CDN-Cache-Control';
const read = (...lines: string[]): [string, string | true][] | undefined => {
  const directives = targetedControl(fields(...lines), [`X-Own-Cache-Control`, CDN]);
  return directives && [...directives];
};

describe('targeted cache control, RFC 9213', () => {
  it('is the first field of the list that is there', () => {
    expect(read(`${CDN}: max-age=60`)).to.deep.equal([['max-age', '60']]);
    expect(read(`${CDN}: max-age=60`, 'X-Own-Cache-Control: max-age=5, private')).to.deep.equal([
      ['max-age', '5'],
      ['private', true],
    ]);
    expect(read('Cache-Control: max-age=60')).to.equal(undefined);
  });

  for (const value of [
    '',
    'max-age=60, &&&&',
    'MaX-aGe=60',
    'max-age="60"',
    'max-age=6.5',
    'max-age',
  ])
    it(`is not "${value}", and the next field counts`, () => {
      expect(read(`X-Own-Cache-Control: ${value}`, `${CDN}: max-age=7`)).to.deep.equal([
        ['max-age', '7'],
      ]);
    });

  it('is a dictionary over several lines, with parameters that mean nothing', () => {
    expect(
      read(`${CDN}: max-age=60;x=1`, `${CDN}: no-cache="a", private=?0, foo=bar`),
    ).to.deep.equal([
      ['max-age', '60'],
      ['no-cache', 'a'],
      ['foo', 'bar'],
    ]);
    expect(read(`${CDN}: max-age=99999999999, s-maxage=-1`)).to.deep.equal([
      ['max-age', '2147483648'],
      ['s-maxage', '0'],
    ]);
  });

  const cases: readonly [string, readonly string[], number | string][] = [
    ['keeps for as long as it says', [`${CDN}: max-age=60`, 'Cache-Control: max-age=5'], 60],
    ['shortens', [`${CDN}: max-age=5`, 'Cache-Control: max-age=60'], 5],
    ['outweighs Expires', [`${CDN}: max-age=60`, `Expires: ${dateAt(-60)}`], 60],
    ['leaves Expires no say', [`${CDN}: public`, `Expires: ${dateAt(60)}`], 'no-lifetime'],
    ['is aged like any other', [`${CDN}: max-age=60`, 'Age: 20'], 40],
    ['forbids', [`${CDN}: no-store`, 'Cache-Control: max-age=60'], 'no-store'],
    ['forbids others to share', [`${CDN}: private`, 'Cache-Control: max-age=60'], 'private'],
    ['asks to be asked', [`${CDN}: no-cache`, 'ETag: "a"', 'Cache-Control: max-age=60'], 0],
  ];
  for (const [what, response, expected] of cases) {
    it(`${what}, in either profile`, () => {
      expect(outcome({ profile: 'rfc', response: [...response] })).to.equal(
        expected === 'no-lifetime' ? 'already-stale' : expected,
      );
      expect(outcome({ profile: 'strict', response: [...response] })).to.equal(expected);
    });
  }

  it('is not read where the rule names no field', () => {
    const response = [`${CDN}: no-store`, 'Cache-Control: max-age=60'];
    expect(outcome({ targets: [], response })).to.equal(60);
  });
});
