import { expect } from 'chai';
import { matchesModulePattern, parseVersionRange } from '../../src/gomod/module-pattern.ts';

describe('module patterns', () => {
  // As `go help private` describes GOPRIVATE; the last column says whether it fits.
  const table: readonly [pattern: string, module: string, fits: boolean][] = [
    ['corp.example.com', 'corp.example.com', true],
    ['corp.example.com', 'corp.example.com/team/mod', true],
    ['corp.example.com', 'corp.example.com.evil.org/mod', false],
    ['corp.example.com/', 'corp.example.com/mod', true],
    ['*.corp.example.com', 'git.corp.example.com/mod/v2', true],
    ['*.corp.example.com', 'corp.example.com/mod', false],
    ['corp.example.com/*', 'corp.example.com', false],
    ['corp.example.com/*', 'corp.example.com/mod/sub', true],
    ['corp.example.com/*/api', 'corp.example.com/a/b/api', false],
    ['corp.example.com/*/api', 'corp.example.com/a/api/v3', true],
    ['github.com/MyCo', 'github.com/MyCo/x', true],
    ['github.com/MyCo', 'github.com/myco/x', false],
    ['github.com/[a-c]?', 'github.com/bx', true],
    ['github.com/[^a-c]?', 'github.com/bx', false],
    ['github.com/a\\*', 'github.com/ab', false],
    ['one.example, two.example/x', 'two.example/x/y', true],
    ['', 'one.example', false],
    [',', 'one.example', false],
    ['*', 'any.example/at/all', true],
    ['a+b.example', 'aab.example', false],
    ['*a*b*c.example/x', 'a-ab-bc-c.example/x', true],
    ['*a*b*c.example/x', 'a-ac-cb.example/x', false],
    ['a*b*/*c*d', 'abxb/c-cd-d/e', true],
    ['a*b*/*c*d', 'abxb/c-cd-dx', false],
    ['a**1[0-9]*', 'a-1a-12.x', true],
    ['a**1[0-9]*', 'a-1a-1', false],
  ];
  for (const [pattern, module, fits] of table) {
    it(`${JSON.stringify(pattern)} ${fits ? 'fits' : 'does not fit'} ${module}`, () => {
      expect(matchesModulePattern(pattern, module)).to.equal(fits);
    });
  }

  it('takes no time for a long path and many stars', () => {
    const begun = performance.now();
    expect(matchesModulePattern('*-*-*-*-*.example.com', `a${'-a'.repeat(4_000)}`)).to.equal(false);
    expect(performance.now() - begun).to.be.below(1_000);
  });

  it('names a glob that is malformed', () => {
    expect(() => matchesModulePattern('corp.example.com/[a', 'x.y')).to.throw('[a');
    expect(() => matchesModulePattern('corp.example.com\\', 'x.y')).to.throw('ends in');
  });
});

describe('ranges of versions', () => {
  const table: readonly [range: string, inside: readonly string[], outside: readonly string[]][] = [
    ['v1.2.3', ['v1.2.3'], ['v1.2.4', 'v1.2.3-pre', 'v2.2.3']],
    ['=v1.2.3-rc.1', ['v1.2.3-rc.1'], ['v1.2.3', 'v1.2.3-rc.2']],
    ['v1', ['v1.0.0', 'v1.9.9', 'v1.0.0-pre'], ['v0.1.0', 'v10.0.0', 'v2.0.0+incompatible']],
    ['v1.2', ['v1.2.0', 'v1.2.3-pre'], ['v1.20.0', 'v1.3.0']],
    ['<v1.2.0', ['v1.1.9', 'v1.2.0-rc.1', 'v0.0.0-20200101000000-abcdefabcdef'], ['v1.2.0']],
    ['<=v1.2.0', ['v1.2.0'], ['v1.2.1-0.20200101000000-abcdefabcdef']],
    ['>v1.2.0', ['v1.2.1-pre', 'v2.0.0'], ['v1.2.0', 'v1.2.0-pre']],
    ['>=v1.2.0 <v2', ['v1.2.0', 'v1.99.0'], ['v1.2.0-pre', 'v2.0.0']],
    ['^v1.2.3', ['v1.2.3', 'v1.9.0', 'v1.3.0-pre'], ['v1.2.3-pre', 'v2.0.0', 'v1.2.2']],
    ['^v0.2.3', ['v0.2.3', 'v0.2.9'], ['v0.3.0', 'v1.0.0']],
    ['~v1.2.3', ['v1.2.3', 'v1.2.9-pre'], ['v1.3.0', 'v1.2.2']],
    ['v1.1.0 || >=v1.3.0', ['v1.1.0', 'v1.3.0'], ['v1.2.0']],
    ['pseudo', ['v0.0.0-20200101000000-abcdefabcdef'], ['v1.0.0', 'v1.0.0-pre']],
  ];
  for (const [range, inside, outside] of table) {
    it(`${range} takes ${inside.join(', ')} and not ${outside.join(', ')}`, () => {
      const fits = parseVersionRange(range);
      expect(inside.filter((version) => !fits(version))).to.deep.equal([]);
      expect(outside.filter(fits)).to.deep.equal([]);
    });
  }

  for (const malformed of [
    '',
    'v1 ||',
    '1.2.3',
    '>=',
    'v1.2.3.4',
    '>= v1.0.0',
    'v01.2.3',
    'latest',
  ]) {
    it(`refuses ${JSON.stringify(malformed)}`, () => {
      expect(() => parseVersionRange(malformed)).to.throw(/condition|empty/);
    });
  }
});
