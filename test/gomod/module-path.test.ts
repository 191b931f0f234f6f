import { expect } from 'chai';
import {
  checkModulePath,
  checkVersionQuery,
  escapeGo,
  isVersionOf,
  pathMajorOf,
  unescapeGo,
} from '../../src/gomod/module-path.ts';
import {
  canonicalVersion,
  compareVersions,
  isCanonicalVersion,
  isPseudoVersion,
} from '../../src/gomod/version.ts';

// The verdicts in these tables are those of the packages module and semver of golang.org/x/mod, but for the limit of length.

describe('Go module paths', () => {
  const legal = [
    'example.com',
    'example.com/x',
    'example.com/x/v2',
    'example.com/x/v10',
    'example.com/X/Y_z~a',
    'example.com/v2/x',
    'a-b.c/x',
    'gopkg.in/yaml.v2',
    'gopkg.in/user/pkg.v3',
    'gopkg.in/a.v1-unstable',
    'gopkg.in/a.v0',
    'example.com/x.v2',
    'example.com/conx',
    'example.com/com0',
    'example.com/a~1b',
    'example.com/a.b~1',
    'example.com/xv1',
  ];
  for (const path of legal) {
    it(`takes ${path}`, () => {
      expect(checkModulePath(path)).to.equal(undefined);
    });
  }

  const illegal = [
    '',
    '/',
    'x',
    'example',
    '/example.com/x',
    'example.com/x/',
    'example.com//x',
    'example.com/./x',
    'example.com/../x',
    'example.com/.x',
    '.example.com/x',
    'example.com/x.',
    'Example.com/x',
    '-example.com/x',
    'example_a.com/x',
    'example.com/x y',
    'example.com/x@y',
    'example.com/x+y',
    'example.com/x%2fy',
    'example.com/x\\y',
    'example.com/\u00e9',
    'example.com/x\0',
    'example.com/con',
    'example.com/Aux.txt',
    'example.com/COM1',
    'example.com/lpt9.x',
    'example.com/a~1',
    'example.com/a~12.b',
    'example.com/x/v1',
    'example.com/x/v0',
    'example.com/x/v02',
    'example.com/x/v2.3',
    'example.com/x/v2.',
    'gopkg.in/x',
    'gopkg.in/x.v02',
    'gopkg.in/x.v0-unstable',
    'gopkg.in/x/v2',
  ];
  for (const path of illegal) {
    it(`refuses ${JSON.stringify(path)} and says why`, () => {
      expect(checkModulePath(path)).to.be.a('string').and.not.equal('');
    });
  }

  it('know the part that names the major version', () => {
    expect(pathMajorOf('example.com/x')).to.equal('');
    expect(pathMajorOf('example.com/x/v2')).to.equal('/v2');
    expect(pathMajorOf('gopkg.in/x.v3')).to.equal('.v3');
    expect(pathMajorOf('gopkg.in/x.v1-unstable')).to.equal('.v1-unstable');
    expect(pathMajorOf('example.com/x/v1')).to.equal(undefined);
  });
});

describe('Go escapes', () => {
  it('mark upper case so that paths differ on any file system', () => {
    expect(escapeGo('github.com/BurntSushi/toml')).to.equal('github.com/!burnt!sushi/toml');
    expect(unescapeGo('github.com/!burnt!sushi/toml')).to.equal('github.com/BurntSushi/toml');
    expect(unescapeGo('')).to.equal('');
  });

  for (const escaped of ['A', 'a!', '!', '!!a', '!A', '!1', 'a!/b', '!é', 'é', '!-']) {
    it(`refuse ${escaped}`, () => {
      expect(unescapeGo(escaped)).to.equal(undefined);
    });
  }
});

describe('Go versions', () => {
  const canonical: readonly [version: string, expected: string | undefined][] = [
    ['v1.2.3', 'v1.2.3'],
    ['v1.2', 'v1.2.0'],
    ['v1', 'v1.0.0'],
    ['v1.2.3-pre.1', 'v1.2.3-pre.1'],
    ['v1.2.3+meta', 'v1.2.3'],
    ['v2.0.0+incompatible', 'v2.0.0+incompatible'],
    ['v1.2.3-pre+meta.1', 'v1.2.3-pre'],
    ['v0.0.1-go1.26.0.linux-amd64', 'v0.0.1-go1.26.0.linux-amd64'],
    ['v1.2.3-0', 'v1.2.3-0'],
    ['v1.2.3-01', undefined],
    ['v1.2.3-01a', 'v1.2.3-01a'],
    ['v01.2.3', undefined],
    ['v1.2.3-', undefined],
    ['v1.2.3-a..b', undefined],
    ['v1.2.3+', undefined],
    ['v1.2-pre', undefined],
    ['v1.2.3_x', undefined],
    ['1.2.3', undefined],
    ['v', undefined],
    ['v1.2.3.4', undefined],
    ['V1.2.3', undefined],
    ['', undefined],
    ['v1.2.3\n', undefined],
    [`v1.2.3-${'a'.repeat(600)}`, undefined],
  ];
  for (const [version, expected] of canonical) {
    it(`has ${expected ?? 'no canonical form'} for ${JSON.stringify(version.slice(0, 40))}`, () => {
      expect(canonicalVersion(version)).to.equal(expected);
      expect(isCanonicalVersion(version)).to.equal(expected === version && version !== '');
    });
  }

  it('know a pseudo-version from a release', () => {
    for (const version of [
      'v0.0.0-20200101000000-abcdefabcdef',
      'v1.2.4-0.20200101000000-abcdefabcdef',
      'v1.2.3-pre.0.20200101000000-abcdefabcdef',
      'v2.0.1-0.20200101000000-abcdefabcdef+incompatible',
    ])
      expect(isPseudoVersion(version)).to.equal(true);
    for (const version of [
      'v1.2.3',
      'v1.2.3-20200101000000-abcdefabcdef',
      'v0.0.0-2020010100000-abcdefabcdef',
      'v1.2.3-pre.20200101000000-abcdefabcdef',
      'master',
    ])
      expect(isPseudoVersion(version)).to.equal(false);
  });

  it('are in order', () => {
    const ordered = [
      'bad',
      'v0.0.0-20200101000000-abcdefabcdef',
      'v0.0.0',
      'v1.2.3-0',
      'v1.2.3-9',
      'v1.2.3-10',
      'v1.2.3-alpha',
      'v1.2.3-alpha.1',
      'v1.2.3-alpha.beta',
      'v1.2.3-beta',
      'v1.2.3',
      'v1.2.10',
      'v1.10.0',
      'v2.0.0+incompatible',
      'v10.0.0',
      'v99999999999999999999.0.0',
    ];
    for (const [i, one] of ordered.entries())
      for (const [j, other] of ordered.entries())
        expect(compareVersions(one, other)).to.equal(Math.sign(i - j));
    expect(compareVersions('v1', 'v1.0.0+meta')).to.equal(0);
  });

  const fits: readonly [path: string, version: string, expected: boolean][] = [
    ['example.com/x', 'v1.2.3', true],
    ['example.com/x', 'v0.1.0', true],
    ['example.com/x', 'v2.0.0', false],
    ['example.com/x', 'v2.0.0+incompatible', true],
    ['example.com/x/v2', 'v2.0.0', true],
    ['example.com/x/v2', 'v1.0.0', false],
    ['example.com/x/v2', 'v3.0.0', false],
    ['example.com/x', 'v1.2', false],
    ['example.com/x', 'v1.2.3+meta', false],
    ['example.com/x', 'master', false],
    ['gopkg.in/x.v3', 'v3.1.0', true],
    ['gopkg.in/x.v3', 'v2.1.0', false],
    ['gopkg.in/x.v1', 'v0.0.0-20161208181325-20d25e280405', true],
    ['gopkg.in/x.v1-unstable', 'v1.0.0', true],
    ['gopkg.in/x.v0', 'v0.1.0', true],
    ['gopkg.in/x', 'v1.0.0', false],
  ];
  for (const [path, version, expected] of fits) {
    it(`${expected ? 'fit' : 'do not fit'}: ${path}@${version}`, () => {
      expect(isVersionOf(path, version)).to.equal(expected);
    });
  }

  it('may be queries: branches, tags and commits that are file names', () => {
    for (const query of ['master', 'abcdef123456', 'feature-x', 'a.b', 'x#y', 'v1', 'a~1', 'a b'])
      expect(checkVersionQuery(query)).to.equal(undefined);
    for (const query of [
      '',
      '.',
      '..',
      'a.',
      'a/b',
      'a\\b',
      'a!b',
      'con',
      'nul.x',
      'a:b',
      'a*',
      'é',
    ])
      expect(checkVersionQuery(query)).to.be.a('string');
  });
});
