import { expect } from 'chai';
import { latestOf, listOf, readGoproxyFile } from '../../src/gomod/goproxy-folder.ts';

describe('readGoproxyFile', () => {
  for (const [path, file, module, version, database] of [
    ['example.com/!one/@v/v1.0.0.zip', 'zip', 'example.com/One', 'v1.0.0', undefined],
    ['example.com/a/v2/@v/v2.1.0-!r!c1.info', 'info', 'example.com/a/v2', 'v2.1.0-RC1', undefined],
    ['sumdb/s.test/lookup/a.b/!c@v1.0.0', 'lookup', 'a.b/C', 'v1.0.0', 's.test'],
    ['sumdb/s.test/db/lookup/a.b@v1.0.0', 'lookup', 'a.b', 'v1.0.0', 's.test/db'],
    ['sumdb/s.test/db/tile/8/0/x001/234.p/5', 'tile', '', '', 's.test/db'],
    ['sumdb/s.test/latest', 'latest', '', '', 's.test'],
  ] as const) {
    it(`reads ${path}`, () => {
      const read = readGoproxyFile(path);
      expect(read).to.include({ path, file, module, version });
      expect(read?.database).to.equal(database);
    });
  }

  for (const path of [
    'example.com/a/@v/list',
    'example.com/a/@latest',
    'example.com/a/@v/master.info',
    'example.com/a/@v/v2.0.0.mod',
    'example.com/A/@v/v1.0.0.mod',
    '../example.com/@v/v1.0.0.mod',
    'example.com/../../etc/@v/v1.0.0.mod',
    'sumdb/../x/latest',
    'sumdb/s.test/../latest',
    'sumdb/s.test/./tile/8/0/000',
    'sumdb/s.test/supported',
    'sumdb/s.test/tile/8/0/../000',
    'sumdb/latest',
    'etc/passwd',
  ]) {
    it(`does not read ${path}`, () => {
      expect(readGoproxyFile(path)).to.equal(undefined);
    });
  }
});

describe('listOf and latestOf', () => {
  const commit = (time: string): string => `v0.0.0-${time}-abcdefabcdef`;
  const older = commit('20240101000000');
  const newer = commit('20250101000000');

  it('list releases in order of versions, without commits', () => {
    const versions = ['v1.10.0', 'v1.9.0', newer, 'v1.10.0-rc.1', 'v2.0.0+incompatible'];
    expect(listOf(versions)).to.equal('v1.9.0\nv1.10.0-rc.1\nv1.10.0\nv2.0.0+incompatible\n');
    expect(listOf([newer])).to.equal('');
  });

  for (const [versions, latest] of [
    [['v1.9.0', 'v1.10.0', 'v1.11.0-rc.1', newer], 'v1.10.0'],
    [['v1.0.0-rc.2', 'v1.0.0-rc.10', newer], 'v1.0.0-rc.10'],
    [[newer, older], newer],
    [
      ['v1.3.0-0.20250101000000-abcdefabcdef', 'v1.2.4-0.20260101000000-abcdefabcdef'],
      'v1.2.4-0.20260101000000-abcdefabcdef',
    ],
    [['v3.0.0+incompatible', 'v2.0.0+incompatible'], 'v3.0.0+incompatible'],
    [[], undefined],
  ] as const) {
    it(`${latest} is the latest of ${versions.join(', ')}`, () => {
      expect(latestOf(versions)).to.equal(latest);
      expect(latestOf(versions.toReversed())).to.equal(latest);
    });
  }
});
