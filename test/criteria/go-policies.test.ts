import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { PEER_RESOURCE_PATH } from '../../src/fetchers/peer-protocol.ts';
import { GoClient, goMissing } from '../support/go-command.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { eventually } from './eventually.ts';
import { entryRows } from './node-files.ts';
import { peerConfig } from './peer-config.ts';

const RULE = { name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' };

describe('policies for modules', function () {
  this.timeout(60_000);

  let registry: GoRegistry;
  let corp: GoRegistry;
  let client: HttpClient;

  beforeEach(async () => {
    registry = await GoRegistry.start();
    corp = await GoRegistry.start();
    client = new HttpClient();
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    await corp[Symbol.asyncDispose]();
  });

  const start = async (rule: Readonly<Record<string, unknown>>): Promise<NodeProcess> =>
    await NodeProcess.start({
      config: {
        fetchers: {
          modules: { type: 'upstreams', list: registry.url },
          corp: { type: 'upstreams', list: corp.url },
        },
        rules: [{ ...RULE, ...rule }],
      },
    });

  it('allow, deny by range and by default, and another place to fetch from; the first that fits', async () => {
    for (const version of ['v1.0.0', 'v1.1.0', 'v1.2.0', 'v1.2.1-rc.1'])
      registry.release('open.example.org/m', version);
    registry.release('github.com/MyCo/tool', 'v1.0.0', { base: 'github.com/!my!co/tool' });
    corp.release('git.corp.example.com/team/m', 'v1.0.0');
    await using node = await start({
      sumdb: [],
      modules: [
        { match: 'open.example.org/m', versions: '>=v1.1.0 <v1.2.0', deny: 'v1.1 loses data' },
        { match: 'open.example.org/m', versions: 'v1.2.1-rc.1', deny: 'no candidates here' },
        { match: 'open.example.org,github.com/MyCo' },
        { match: 'git.corp.example.com/*', fetch: 'corp', private: true },
        { match: '*', deny: 'ask the platform team to allow it' },
      ],
    });
    const ask = async (path: string): Promise<readonly [number, string]> => {
      const { status, body } = await client.get(`${node.url}/go/${path}`);
      return [status, status === 200 ? '' : String(body)];
    };
    const m = 'open.example.org/m/@v';
    expect(await ask(`${m}/v1.0.0.mod`)).to.deep.equal([200, '']);
    expect(await ask(`${m}/list`)).to.deep.equal([200, '']);
    expect(await ask(`${m}/v1.2.0.zip`)).to.deep.equal([200, '']);
    expect(await ask(`${m}/v1.1.0.mod`)).to.deep.equal([403, 'v1.1 loses data\n']);
    expect(await ask(`${m}/v1.1.1-0.20200101000000-abcdefabcdef.info`)).to.deep.equal([
      403,
      'v1.1 loses data\n',
    ]);
    expect(await ask(`${m}/v1.2.1-rc.1.info`)).to.deep.equal([403, 'no candidates here\n']);
    expect(await ask('github.com/!my!co/tool/@v/v1.0.0.info')).to.deep.equal([200, '']);
    expect(await ask('git.corp.example.com/team/m/@v/v1.0.0.zip')).to.deep.equal([200, '']);
    const other = [403, 'ask the platform team to allow it\n'];
    expect(await ask('other.example.org/m/@v/list')).to.deep.equal(other);
    expect(await ask('github.com/!my!company/tool/@latest')).to.deep.equal(other);
    expect(registry.requests.filter((path) => path.includes('corp'))).to.deep.equal([]);
    expect(registry.requests.filter((path) => /other|v1\.1/.test(path))).to.deep.equal([]);
    expect((await node.counters())['denied_total{go}']).to.equal(5);
  });

  it('B10: a denial stops the walk of a list, and the go command prints the reason', async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    registry.release('open.example.org/m', 'v1.0.0');
    await using folder = await tempFolder();
    await using node = await start({
      sumdb: [],
      modules: [{ match: 'open.example.org', deny: 'licence not approved: see the wiki' }],
    });
    const go = await GoClient.create({
      folder: folder.path,
      proxy: `${node.url}/go,${registry.url}`,
      env: { GOSUMDB: 'off' },
    });
    await writeFile(join(folder.path, 'go.mod'), 'module example.org/program\n\ngo 1.24\n');
    const { code, stderr } = await go.try(folder.path, 'get', 'open.example.org/m@v1.0.0');
    expect(code).to.equal(1);
    expect(stderr).to.contain('403 Forbidden').and.contain('licence not approved: see the wiki');
    expect(registry.requests).to.deep.equal([]);
  });

  it('B14: lookups of hidden modules are 403 and leave the node in no spelling', async () => {
    const name = 'sums.example.org/sumdb';
    for (const path of ['open.example.org/m@v1.0.0', 'github.com/!my!co/x@v1.0.0'])
      registry.put(`/sumdb/${name}/lookup/${path}`, 'record');
    await using node = await start({
      sumdb: [{ name: 'sums.example.org' }, { name }],
      noSumdb: 'github.com/MyCo,secret.example.org/*',
      modules: [{ match: 'git.corp.example.com', private: true }],
    });
    const status = async (path: string): Promise<number> =>
      (await client.get(`${node.url}/go/sumdb/${name}/${path}`)).status;
    expect(await status('supported')).to.equal(200);
    expect(await status('lookup/open.example.org/m@v1.0.0')).to.equal(200);
    for (const hidden of [
      'github.com/!my!co/x@v1.0.0',
      'github.com/%21my%21co/x@v1.0.0',
      'github.com/!my!co/x/v2@v2.0.0',
      'secret.example.org/a/b@v1.0.0',
      'git.corp.example.com/team/m@v0.0.0-20200101000000-abcdefabcdef',
    ])
      expect(await status(`lookup/${hidden}`), hidden).to.equal(403);
    const { body } = await client.get(
      `${node.url}/go/sumdb/${name}/lookup/secret.example.org/a@v1.0.0`,
    );
    expect(String(body)).to.contain('secret.example.org/a is private').and.contain('GONOSUMDB');
    expect(registry.requests).to.deep.equal([`/sumdb/${name}/lookup/open.example.org/m@v1.0.0`]);
  });

  it('F9: what a policy calls private is neither given to peers nor asked of them', async () => {
    await using peer = await peerConfig();
    for (const module of ['open.example.org/m', 'git.corp.example.com/m'])
      registry.release(module, 'v1.0.0');
    const modules = [{ match: 'git.corp.example.com', private: true }];
    const fetchers = { modules: { type: 'upstreams', list: registry.url } };
    await using first = await NodeProcess.start({
      config: { ...peer.listening, fetchers, rules: [{ ...RULE, sumdb: [], modules }] },
    });
    const near = peer.asking(first.peerUrl);
    await using second = await NodeProcess.start({
      config: {
        fetchers: { ...fetchers, near },
        rules: [{ ...RULE, fetch: ['near', 'modules'], sumdb: [], modules }],
      },
    });
    // The same but without the policy: it asks, and gets nothing.
    await using third = await NodeProcess.start({
      config: {
        fetchers: { ...fetchers, near },
        rules: [{ ...RULE, fetch: ['near', 'modules'], sumdb: [] }],
      },
    });
    const ask = async (node: NodeProcess, module: string): Promise<number> =>
      (await client.get(`${node.url}/go/${module}/@v/v1.0.0.mod`)).status;
    for (const module of ['open.example.org/m', 'git.corp.example.com/m']) {
      expect(await ask(first, module)).to.equal(200);
      await eventually('its row', () => entryRows(first, `${module}/@v/v1.0.0.mod`)[0]);
    }
    const asked = (): number => first.log.filter(({ peer: name }) => name === 'other').length;
    expect(await ask(second, 'git.corp.example.com/m')).to.equal(200);
    expect([asked(), registry.asked('corp.example.com/m/@v/v1.0.0.mod')]).to.deep.equal([0, 2]);
    // Spellings that only a peer of bad will would use.
    const { token, url } = near as { readonly token: string; readonly url: string };
    for (const spelling of [
      'cached-only/git.corp.example.com/m/@v/v1.0.0.mod',
      'catalog',
      'index?limit=5',
      'cached-only/catalog',
    ]) {
      const spelled = await fetch(url + PEER_RESOURCE_PATH, {
        headers: {
          authorization: `Bearer ${token}`,
          'caje-fill': '1',
          'caje-target': `${first.url}/go/${spelling}`,
        },
      });
      expect([spelled.status, spelled.headers.get('caje-miss')]).to.deep.equal([504, '1']);
    }
    expect(await ask(third, 'git.corp.example.com/m')).to.equal(200);
    expect(registry.asked('corp.example.com/m/@v/v1.0.0.mod')).to.equal(3);
    expect(await ask(third, 'open.example.org/m')).to.equal(200);
    expect(registry.asked('open.example.org/m/@v/v1.0.0.mod')).to.equal(1);
  });

  it('offline and fallback make lists and latest of what is kept', async () => {
    for (const version of ['v1.0.0', 'v1.1.0', 'v1.2.0-rc.1'])
      registry.release('open.example.org/m', version);
    const rule: Record<string, unknown> = { ...RULE, sumdb: [], network: 'fallback' };
    const fetchers = { modules: { type: 'upstreams', list: registry.url } };
    await using node = await NodeProcess.start({ config: { fetchers, rules: [rule] } });
    const get = async (path: string): Promise<readonly [number, string]> => {
      const { status, body } = await client.get(`${node.url}/go/open.example.org/m/${path}`);
      return [status, String(body)];
    };
    for (const version of ['v1.0.0', 'v1.2.0-rc.1']) {
      expect((await get(`@v/${version}.zip`))[0]).to.equal(200);
      await eventually('its row', () => entryRows(node, `@v/${version}.zip`)[0]);
    }
    const [, info] = await get('@v/v1.0.0.info');
    await eventually('its row', () => entryRows(node, '@v/v1.0.0.info')[0]);
    await registry.leave();
    expect(await get('@v/list')).to.deep.equal([200, 'v1.0.0\nv1.2.0-rc.1\n']);
    const latest = await client.get(`${node.url}/go/open.example.org/m/@latest`);
    expect([latest.status, String(latest.body)]).to.deep.equal([200, info]);
    expect(latest.headers.get('cache-control')).to.equal('no-store');
    expect((await get('@v/v1.1.0.info'))[0]).to.equal(502);
    await registry.return();
    registry.put('/open.example.org/m/@latest', '{"Version":"v1.3.0"}');
    expect((await get('@latest'))[1], 'with the upstream back').to.contain('v1.3.0');
    await node.stop();
    rule['network'] = 'offline';
    await node.restart();
    registry.requests.length = 0;
    expect(await get('@v/list')).to.deep.equal([200, 'v1.0.0\nv1.2.0-rc.1\n']);
    expect(await get('@latest')).to.deep.equal([200, info]);
    expect((await get('@v/v1.1.0.info'))[0]).to.equal(404);
    expect((await client.get(`${node.url}/go/unknown.example.org/m/@v/list`)).status).to.equal(404);
    expect(registry.requests).to.deep.equal([]);
  });

  it('G9: catalog and index page through what is kept', async () => {
    for (const version of ['v1.0.0', 'v1.1.0'])
      registry.release('github.com/MyCo/tool', version, { base: 'github.com/!my!co/tool' });
    await using node = await start({ sumdb: [] });
    for (const version of ['v1.0.0', 'v1.1.0']) {
      await client.get(`${node.url}/go/github.com/!my!co/tool/@v/${version}.zip`);
      await eventually('its row', () => entryRows(node, `${version}.zip`)[0]);
    }
    const json = async (path: string): Promise<unknown> =>
      JSON.parse(String((await client.get(`${node.url}/go${path}`)).body));
    const one = (await json('/catalog?pagesize=1')) as { modules: unknown[]; next: string };
    expect(one.modules).to.deep.equal([{ module: 'github.com/MyCo/tool', version: 'v1.0.0' }]);
    const two = await json(`/catalog?pagesize=1&token=${encodeURIComponent(one.next)}`);
    expect((two as typeof one).modules).to.deep.equal([
      { module: 'github.com/MyCo/tool', version: 'v1.1.0' },
    ]);
    const { body } = await client.get(`${node.url}/go/index?since=2019-01-01T00:00:00Z&limit=10`);
    const lines = String(body).trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { Version: string }).Version)).to.deep.equal([
      'v1.0.0',
      'v1.1.0',
    ]);
    expect((await client.get(`${node.url}/go/index?limit=0`)).status).to.equal(400);
  });
});
