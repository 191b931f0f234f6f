import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Answer } from '../support/http-client.ts';
import { eventually } from './eventually.ts';
import { askedFor, GO_RULE, GO_SUMDB, type GoRule, zipFor } from './go-site.ts';
import type { Site } from './site.ts';

const MIB = 1024 ** 2;
/** A list's lifetime that a test can sit out, and a little more. */
const SHORT = '500ms';
const SHORT_MS = 600;

/** Rules of one node, each below a path of its name and with what it keeps to itself. */
export const DEFECT_RULES: readonly GoRule[] = [
  rule('async', { mode: 'async' }),
  rule('async_redirect', { mode: 'async_redirect' }),
  rule('redirect', { mode: 'redirect' }),
  rule('fallback', { network: 'fallback', listTtl: SHORT }),
  rule('online', { namespace: 'b11', listTtl: SHORT }),
  rule('offline', { namespace: 'b11', listTtl: SHORT, network: 'offline' }),
  rule('catalogue', {}),
  rule('index', {}),
  rule('policies', {
    modules: [
      { match: 'example.com/b21/fine' },
      { match: 'example.com/b21/*', versions: '<v1.2.0', deny: 'too old\nask for a newer one' },
      { match: 'example.com/*/b21,*.example.org', deny: 'not here' },
    ],
  }),
];

function rule(name: string, more: GoRule): GoRule {
  return { ...GO_RULE, name, path: `/${name}/*`, namespace: name, ...more };
}

/** What others' modes, lists of what is kept and filters get wrong: B4, B8, B11, B15 to B17 and B21. */
export function goRuleDefects(site: () => Site): void {
  for (const mode of ['async', 'async_redirect']) {
    it(`B4: mode ${mode} fetches behind its answer, though the client is gone`, async () => {
      const path = `/example.com/b4/${mode}/@v/v1.0.0.zip`;
      const zip = zipFor(path, MIB);
      site().serve(path, { body: zip, delay: 100 });
      const first = await site().get(`/${mode}${path}`);
      expect(first.status).to.equal(mode === 'async' ? 404 : 307);
      const kept = await eventually('the fill', async () => {
        const answer = await site().get(`/${mode}${path}`);
        return answer.status === 200 ? answer : undefined;
      });
      expect(kept.body.equals(zip)).to.equal(true);
      expect(askedFor(site(), `b4/${mode}/`)).to.deep.equal([path]);
    });
  }

  it('B8: what was last known of lists stands in while the upstream fails, where the rule says so', async () => {
    const paths = ['@v/list', '@latest', '@v/main.info'].map(
      (file) => `/example.com/b8/kept/${file}`,
    );
    for (const path of paths) {
      site().serve(path, { body: `this is ${path}\n`, etag: false });
      await site().keep(`/fallback${path}`, {}, path.slice(1));
    }
    await sleep(SHORT_MS);
    for (const failure of [{ status: 500 }, { status: 503 }, { reset: -1 }, { cut: -1 }])
      for (const path of paths) {
        site().serve(path, failure);
        const { status, body } = await site().get(`/fallback${path}`);
        expect([status, body.toString()]).to.deep.equal([200, `this is ${path}\n`]);
      }
    // A while nothing is tried again; another list has its successor at once.
    const other = '/example.com/b8/other/@v/list';
    site().serve(other, { body: 'old\n', etag: false });
    await site().keep(`/fallback${other}`, {}, other.slice(1));
    site().serve(other, { body: 'new\n', etag: false });
    await eventually(
      'the new one',
      async () => (await site().get(`/fallback${other}`)).body.toString() === 'new\n',
    );
  });

  it('B11: offline means that nothing is fetched, of whatever kind', async () => {
    const at = '/example.com/b11';
    const kept = ['@v/list', '@latest', '@v/v1.0.0.info', '@v/v1.0.0.mod', '@v/v1.0.0.zip'];
    for (const file of kept) {
      const text = file.endsWith('list') ? 'v1.0.0\n' : '{"Version":"v1.0.0"}';
      const body = file.endsWith('zip') ? zipFor(`${at}/${file}`) : text;
      site().serve(`${at}/${file}`, { body, etag: false });
      await site().keep(`/online${at}/${file}`, {}, `b11/${file}`);
    }
    const before = site().origin.seen.length;
    const ask = async (path: string): Promise<Answer> => await site().get(`/offline${path}`);
    await sleep(SHORT_MS);
    for (const file of kept) expect((await ask(`${at}/${file}`)).status, file).to.equal(200);
    for (const path of [
      ...['@v/v1.1.0.info', '@v/v1.1.0.mod', '@v/v1.1.0.zip', '@v/main.info'].map(
        (file) => `${at}/${file}`,
      ),
      ...['@v/list', '@latest'].map((file) => `/example.com/other/${file}`),
      ...['latest', 'lookup/example.com/b11@v1.0.0', 'tile/8/0/011'].map(
        (file) => `/sumdb/${GO_SUMDB}/${file}`,
      ),
    ]) {
      const { status, body } = await ask(path);
      expect(status, path).to.equal(404);
      expect(body.toString(), path).to.include('offline');
    }
    expect(site().origin.seen.slice(before)).to.deep.equal([]);
  });

  it('B15: a client that is sent to the upstream is not sent to a prefix of this node', async () => {
    const path = '/example.com/!b15/@v/v1.0.0.zip';
    const { status, headers } = await site().get(`/redirect${path}`);
    expect([status, headers.get('Location')]).to.deep.equal([307, site().origin.url + path]);
  });

  it('B16: pages of the catalogue hold each version once, whatever their size', async () => {
    const versions = ['v1.0.0', 'v1.0.0-pre', 'v1.0.0-pre.1', 'v1.10.0', 'v1.9.0'];
    const modules = ['b16', 'b16/two', 'b16-other', '!b16', 'b16/v2x', 'a/b16'];
    const expected = modules.flatMap((module) =>
      versions.map((version) => `example.com/${module.replace('!b', 'B')}@${version}`),
    );
    for (const module of modules)
      for (const version of versions) {
        const path = `/example.com/${module}/@v/${version}.zip`;
        site().serve(path, { body: zipFor(path) });
        await site().get(`/catalogue${path}`);
      }
    const read = async (size: number): Promise<string[]> => {
      const found: string[] = [];
      for (let token = ''; ; ) {
        const query = `pagesize=${size}&token=${encodeURIComponent(token)}`;
        const page = JSON.parse(
          (await site().get(`/catalogue/catalog?${query}`)).body.toString(),
        ) as {
          readonly modules: readonly { readonly module: string; readonly version: string }[];
          readonly next: string;
        };
        if (page.next !== '') expect(page.modules).to.have.lengthOf(size);
        found.push(...page.modules.map(({ module, version }) => `${module}@${version}`));
        if (page.next === '') return found;
        token = page.next;
      }
    };
    await eventually('all rows', async () => (await read(1000)).length === expected.length);
    for (const size of [1, 4, 7, 30, 1000])
      expect((await read(size)).toSorted(), `${size}`).to.deep.equal(expected.toSorted());
  });

  it('B17: the index is in order of time, can be followed, and outlives the node', async () => {
    const names = Array.from({ length: 12 }, (_, at) => `example.com/b17/m${at}`);
    for (const name of names) {
      const path = `/${name}/@v/v1.0.0.zip`;
      site().serve(path, { body: zipFor(path) });
      await site().keep(`/index${path}`, {}, path.slice(1));
    }
    const read = async (limit: number): Promise<string[]> => {
      const paths: string[] = [];
      for (let since = ''; ; ) {
        const query = `limit=${limit}&since=${encodeURIComponent(since)}`;
        const body = (await site().get(`/index/index?${query}`)).body.toString();
        const lines = (body.match(/.+/g) ?? []).map(
          (line) => JSON.parse(line) as Record<string, string>,
        );
        const fresh = lines.filter(({ Path = '' }) => !paths.includes(Path));
        paths.push(...fresh.map(({ Path = '' }) => Path));
        const last = lines.at(-1)?.['Timestamp'] ?? '';
        if (fresh.length === 0 || last === since) return paths;
        since = last;
      }
    };
    expect(await read(2000)).to.deep.equal(names);
    expect(await read(5)).to.deep.equal(names);
    await site().node.stop();
    await site().node.restart();
    expect(await read(5)).to.deep.equal(names);
    for (const query of ['limit=0', 'limit=-1', 'limit=x', 'since=yesterday'])
      expect((await site().get(`/index/index?${query}`)).status, query).to.equal(400);
  });

  it('B21: one ordered list says by pattern and range what is refused', async () => {
    const before = site().origin.seen.length;
    const status = async (path: string): Promise<number> =>
      (await site().get(`/policies/${path}.zip`)).status;
    for (const path of [
      'example.com/b21/old/@v/v1.1.9',
      'example.com/b21/old/@v/v1.2.0-rc.1',
      'example.com/b21/old/@v/v0.0.0-20200101000000-0123456789ab',
      'example.com/any/b21/@v/v1.0.0',
      'example.com/any/b21/below/@v/v1.0.0',
      'sub.example.org/@v/v9.0.0+incompatible',
    ])
      expect(await status(path), path).to.equal(403);
    expect(site().origin.seen.slice(before)).to.deep.equal([]);
    for (const path of [
      'example.com/b21/old/@v/v1.2.0',
      'example.com/b21/old/@v/v1.3.0-rc.1',
      'example.com/b21/fine/@v/v0.1.0',
      'example.com/b21x/old/@v/v1.0.0',
      'example.org/@v/v1.0.0',
    ])
      expect(await status(path), path).to.equal(200);
    const { body } = await site().get('/policies/example.com/b21/old/@v/v1.0.0.info');
    expect(body.toString()).to.include('too old\nask for a newer one');
  });
}
