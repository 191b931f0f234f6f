import { expect } from 'chai';
import { goproxyPath } from '../../src/gomod/goproxy-path.ts';
import { splitSumdbPath } from '../../src/gomod/sumdb-path.ts';
import { goRouteTable } from '../../src/protocol/go-routes.ts';
import {
  findRoute,
  type RouteFound,
  servedCacheControl,
  upstreamPath,
} from '../../src/protocol/route-table.ts';

const SUMDB = ['sums.example.org', 'sums.example.org/sumdb', 'other.example.org'];
const table = goRouteTable({ sumdb: SUMDB });

function found(target: string, method = 'GET'): RouteFound {
  const result = findRoute(table, method, target);
  if (!result.found) throw new Error(`${target}: ${result.reason}`);
  return result;
}

describe('Go routes', () => {
  const served: readonly [target: string, name: string, kind: string, key?: string][] = [
    ['/example.com/x/@v/list', 'list', 'index'],
    ['/example.com/x/v2/@v/list', 'list', 'index'],
    ['/example.com/x/@latest', 'latest', 'index'],
    ['/example.com/x/@v/v1.2.3.info', 'info', 'artifact'],
    ['/example.com/x/@v/v1.2.info', 'query', 'index'],
    ['/example.com/x/@v/v1.2.3+meta.info', 'query', 'index'],
    ['/example.com/x/@v/v2.0.0.info', 'query', 'index'],
    ['/example.com/x/@v/master.info', 'query', 'index'],
    ['/example.com/x/@v/!master.info', 'query', 'index'],
    ['/example.com/x/@v/abcdef123456.info', 'query', 'index'],
    ['/example.com/x/@v/v0.0.0-20200101000000-abcdefabcdef.info', 'info', 'artifact'],
    ['/example.com/x/@v/v1.2.3.mod', 'mod', 'artifact'],
    ['/example.com/x/@v/v2.0.0+incompatible.zip', 'zip', 'artifact'],
    ['/example.com/x/@v/v1.2.3.zip', 'zip', 'artifact'],
    ['/example.com/x/@v/v1.2.3-!r!c.1.zip', 'zip', 'artifact'],
    ['/github.com/!burnt!sushi/toml/@v/list', 'list', 'index'],
    [
      '/github.com/%21burnt%21sushi/toml/@v/list',
      'list',
      'index',
      'github.com/!burnt!sushi/toml/@v/list',
    ],
    ['/example.com/x/@v/list?x=y', 'list', 'index', 'example.com/x/@v/list'],
    ['/sumdb/sums.example.org/supported', 'sumdb-supported', 'generated'],
    ['/sumdb/sums.example.org/sumdb/supported', 'sumdb-supported', 'generated'],
    ['/sumdb/sums.example.org/latest', 'sumdb-latest', 'index'],
    ['/sumdb/sums.example.org/lookup/example.com/x@v1.2.3', 'sumdb-lookup', 'artifact'],
    [
      '/sumdb/sums.example.org/lookup/github.com/!burnt!sushi/toml@v0.0.0-20200101000000-abcdefabcdef',
      'sumdb-lookup',
      'artifact',
    ],
    ['/sumdb/sums.example.org/sumdb/tile/8/0/x001/234', 'sumdb-tile', 'artifact'],
    ['/sumdb/sums.example.org/tile/8/0/001.p/5', 'sumdb-tile', 'artifact'],
    ['/sumdb/sums.example.org/tile/8/data/x123/x456/789', 'sumdb-tile', 'artifact'],
    ['/sumdb/other.example.org/tile/8/data/000.p/255', 'sumdb-tile', 'artifact'],
  ];
  for (const [target, name, kind, key = target.slice(1)] of served) {
    it(`serve ${target} as ${name}`, () => {
      const { route, key: actual } = found(target);
      expect(route.name).to.equal(name);
      expect(route.class).to.equal(kind);
      expect(actual).to.equal(key);
    });
  }

  // H-63: none of these costs a request to the upstream.
  const refused = [
    '/',
    '',
    '/index',
    '/catalog',
    '/example.com/x',
    '/example.com/x?go-get=1',
    '/example.com/x/@v',
    '/example.com/x/@v/',
    '/example.com/x/@v/list/',
    '/example.com/x/@v/lists',
    '/example.com/x/@v/List',
    '/example.com/x/@latest/',
    '/example.com/x/@Latest',
    '/@v/list',
    '/@latest',
    '//example.com/x/@v/list',
    '/example.com//x/@v/list',
    '/example.com/x//@v/list',
    '/example.com/./x/@v/list',
    '/example.com/../x/@v/list',
    '/example.com/%2e%2e/x/@v/list',
    '/example.com/x%2f@v/list',
    '/example.com%2Fx/@v/list',
    '/example.com%5cx/@v/list',
    '/example.com/x%00/@v/list',
    '/example.com/%252e%252e/@v/list',
    '/example.com/x%zz/@v/list',
    '/example.com/x%ff/@v/list',
    '/example.com/x%/@v/list',
    '/Example.com/x/@v/list',
    '/example.com/X/@v/list',
    '/example.com/!X/@v/list',
    '/example.com/!/@v/list',
    '/example.com/x!/@v/list',
    '/example.com/!!x/@v/list',
    '/example.com/!1/@v/list',
    '/!example.com/x/@v/list',
    '/example/x/@v/list',
    '/example.com/x/v1/@v/list',
    '/example.com/con/@v/list',
    '/example.com/x~1/@v/list',
    '/example.com/%C3%A9/@v/list',
    '/gopkg.in/x/@v/list',
    '/example.com/x/@v/v1.2.3',
    '/example.com/x/@v/v1.2.3.ziphash',
    '/example.com/x/@v/v1.2.3.lock',
    '/example.com/x/@v/v1.2.3.ZIP',
    '/example.com/x/@v/.info',
    '/example.com/x/@v/..info',
    '/example.com/x/@v/V1.2.3.info',
    '/example.com/x/@v/v1.2.3-RC1.info',
    '/example.com/x/@v/a/b.info',
    '/example.com/x/@v/a%2Fb.info',
    '/example.com/x/@v/latest.info',
    '/example.com/x/@v/upgrade.info',
    '/example.com/x/@v/patch.info',
    '/example.com/x/@v/con.info',
    '/example.com/x/@v/master.mod',
    '/example.com/x/@v/v1.2.zip',
    '/example.com/x/@v/v1.2.3+meta.zip',
    '/example.com/x/@v/v01.2.3.mod',
    '/example.com/x/@v/v1.2.3%0a.mod',
    `/example.com/x/@v/v1.2.3-${'a'.repeat(4096)}.mod`,
    '/sumdb/',
    '/sumdb/sums.example.org',
    '/sumdb/sums.example.org/',
    '/sumdb/unknown.example.org/supported',
    '/sumdb/sums.example.orgx/supported',
    '/sumdb/sums.example.org/other/supported',
    '/sumdb/sums.example.org/lookup/',
    '/sumdb/sums.example.org/lookup/example.com/x',
    '/sumdb/sums.example.org/lookup/example.com/X@v1.2.3',
    '/sumdb/sums.example.org/lookup/example.com/x@master',
    '/sumdb/sums.example.org/lookup/example.com/x@v1.2.3@v1.2.3',
    '/sumdb/sums.example.org/tile/8/0/1',
    '/sumdb/sums.example.org/tile/8/0/001.p/0',
    '/sumdb/sums.example.org/tile/8/0/001.p/256',
    '/sumdb/sums.example.org/tile/31/0/001',
    '/sumdb/sums.example.org/tile/0/0/001',
    '/sumdb/sums.example.org/tile/08/0/001',
    '/sumdb/sums.example.org/tile/8/64/001',
    '/sumdb/sums.example.org/tile/8/0/x000/001',
    '/sumdb/sums.example.org/tile/8/0/001/002',
    '/sumdb/sums.example.org/tile/8/0/../../latest',
  ];
  for (const target of refused) {
    it(`refuse ${JSON.stringify(target.slice(0, 60))} and say why`, () => {
      const result = findRoute(table, 'GET', target);
      expect(result.found).to.equal(false);
      if (!result.found) expect(result.reason).to.be.a('string').and.not.equal('');
    });
  }

  it('serve HEAD like GET and refuse the other methods', () => {
    expect(found('/example.com/x/@v/list', 'HEAD').route.name).to.equal('list');
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'get']) {
      const result = findRoute(table, method, '/example.com/x/@v/list');
      expect(result).to.include({ found: false, why: 'method' });
    }
  });

  it('read module and version without their escapes', () => {
    const { params } = found('/github.com/!burnt!sushi/toml/@v/v1.2.3-!a.zip');
    expect(params).to.include({ module: 'github.com/BurntSushi/toml', version: 'v1.2.3-A' });
    expect(params['path']).to.equal(goproxyPath('github.com/BurntSushi/toml', 'zip', 'v1.2.3-A'));
  });

  it('keep modules that differ in case apart', () => {
    expect(found('/example.com/!x/@v/list').key).to.not.equal(found('/example.com/x/@v/list').key);
  });

  it('pin what must never change, and only that', () => {
    const pinned = table.routes.filter((route) => route.promise === 'pinned');
    expect(pinned.map((route) => route.name)).to.deep.equal(['mod', 'zip', 'sumdb-tile']);
    for (const route of table.routes)
      expect(route.ttlMs === undefined).to.equal(route.class === 'artifact');
  });

  it('promise clients for good what is for good, else what is left', () => {
    const header = (target: string, leftMs: number): string =>
      servedCacheControl(found(target).route, leftMs);
    expect(header('/example.com/x/@v/v1.2.3.zip', 0)).to.equal(
      'public, max-age=31536000, immutable',
    );
    expect(header('/example.com/x/@v/list', 59_999)).to.equal('public, max-age=59');
    expect(header('/example.com/x/@v/list', -1)).to.equal('public, max-age=0');
  });

  it('take the lifetime of lists and queries from the rule', () => {
    const short = goRouteTable({ sumdb: [], indexTtlMs: 5000 });
    const result = findRoute(short, 'GET', '/example.com/x/@latest');
    expect(result.found && result.route.ttlMs).to.equal(5000);
  });
});

describe('Names of checksum databases', () => {
  it('may hold a path; the longest that fits wins', () => {
    expect(splitSumdbPath('sums.example.org/sumdb/latest', SUMDB)).to.deep.equal({
      name: 'sums.example.org/sumdb',
      rest: 'latest',
    });
    expect(splitSumdbPath('sums.example.org/latest', SUMDB)).to.deep.equal({
      name: 'sums.example.org',
      rest: 'latest',
    });
    expect(splitSumdbPath('sums.example.org', SUMDB)).to.equal(undefined);
    expect(splitSumdbPath('sums.example.org/latest', [])).to.equal(undefined);
  });
});

describe('upstreamPath', () => {
  it('escapes what an address cannot carry and nothing else', () => {
    expect(upstreamPath('example.com/!x/@v/v1.2.3+incompatible.zip')).to.equal(
      '/example.com/!x/@v/v1.2.3+incompatible.zip',
    );
    expect(upstreamPath('example.com/x/@v/a#b c%d.info')).to.equal(
      '/example.com/x/@v/a%23b%20c%25d.info',
    );
  });

  it('leads back to the same key', () => {
    const { key } = found('/example.com/x/@v/a%23b%20%5B1%5D.info');
    expect(found(upstreamPath(key)).key).to.equal(key);
  });
});
