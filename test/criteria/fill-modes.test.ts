import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { type Answer, HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { eventually } from './eventually.ts';
import { entryRows } from './node-files.ts';
import { Site, xCache } from './site.ts';

const MODES = ['sync', 'async', 'redirect', 'async_redirect', 'none'] as const;
type Mode = (typeof MODES)[number];

/** What the first and a later GET give, whether something is kept between them, and how often the origin is asked. */
const EXPECTED: Readonly<Record<Mode, readonly [number, number, boolean, number]>> = {
  sync: [200, 200, true, 1],
  async: [404, 200, true, 1],
  redirect: [307, 307, false, 0],
  async_redirect: [307, 200, true, 1],
  none: [404, 404, false, 0],
};

const FILE = 'go.example.org/m/@v/v1.0.0.mod';
const TEXT = 'module go.example.org/m\n';

// F8, G5: the rule's mode for http, a pattern's mode for Go modules.
describe('modes of a rule', function () {
  this.timeout(60_000);

  const checkMode = async (site: Site, mode: Mode, path: string, key: string): Promise<void> => {
    const [first, later, kept, requests] = EXPECTED[mode];
    const one = await site.get(path);
    expect(one.status, `first ${mode}`).to.equal(first);
    if (kept) await eventually(`the row of ${key}`, () => entryRows(site.node, key)[0]);
    const two = await site.get(path);
    expect(two.status, `later ${mode}`).to.equal(later);
    expect(xCache(two), `later ${mode}`).to.equal(later === 200 ? 'HIT' : 'BYPASS');
    for (const answer of [one, two].filter(({ status }) => status === 307))
      expect(answer.headers.get('location')).to.equal(`${site.origin.url}${path.slice(3)}`);
    if (!kept) expect(entryRows(site.node, key)).to.deep.equal([]);
    expect(site.origin.counts(path.slice(3)).requests, mode).to.equal(requests);
  };

  it('F8: http rules of the five modes, first and second GET', async () => {
    await using site = await Site.start({
      rules: MODES.map((mode, at) => ({ name: mode, path: `/m${at}/*`, strip: true, mode })),
    });
    for (const [at, mode] of MODES.entries())
      await checkMode(
        site,
        mode,
        `/m${at}/${mode}/page?cc=max-age=60`,
        `/${mode}/page?cc=max-age=60`,
      );
  });

  it('F8, G5: modules of the five modes by pattern', async () => {
    await using site = await Site.start({
      rules: [
        {
          ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', sumdb: [] },
          modules: MODES.map((mode) => ({ match: `${mode.replace('_', '-')}.example.org`, mode })),
        },
      ],
    });
    for (const mode of MODES) {
      const target = `/${mode.replace('_', '-')}.example.org/m/@v/v1.0.0.mod`;
      site.serve(target, { body: `module ${mode}\n` });
      const [, , , requests] = EXPECTED[mode];
      const first = await site.get(`/go${target}`);
      expect(first.status).to.equal(EXPECTED[mode][0]);
      if (mode === 'async') expect(String(first.body)).to.match(/^not found: .*being fetched/);
      if (EXPECTED[mode][2])
        await eventually(target, () => entryRows(site.node, target.slice(1))[0]);
      expect((await site.get(`/go${target}`)).status).to.equal(EXPECTED[mode][1]);
      expect(site.origin.counts(target).requests, mode).to.equal(requests);
      if (first.status === 307)
        expect(first.headers.get('location')).to.equal(site.origin.url + target);
    }
  });

  it('async: a storm begins one fetch, and the answer does not wait for it', async () => {
    await using site = await Site.start({ rules: [{ name: 'a', path: '/a/*', mode: 'async' }] });
    let let_go = (): void => {};
    const held = new Promise<void>((resolve) => {
      let_go = resolve;
    });
    site.serve('/a/slow', async () => {
      await held;
      return { headers: [['Cache-Control', 'max-age=60']] };
    });
    const storm = await Promise.all(
      Array.from({ length: 20 }, async () => await site.get('/a/slow')),
    );
    expect(storm.map(({ status }) => status)).to.deep.equal(Array(20).fill(404));
    let_go();
    await eventually('its row', () => entryRows(site.node, '/a/slow')[0]);
    expect(xCache(await site.get('/a/slow'))).to.equal('HIT');
    expect(site.origin.counts('/a/slow').requests).to.equal(1);
  });

  it('a mode that redirects needs a fetcher with an address: exit 1 that says so', async () => {
    const started = Site.start({
      fetchers: { folder: { type: 'file', path: '.' } },
      rules: [{ name: 'r', path: '/r/*', fetch: 'folder', mode: 'redirect' }],
    });
    const failure = await started.then(
      () => undefined,
      (error: unknown) => String(error),
    );
    expect(failure).to.contain('mode redirect needs a fetcher with an address for clients');
  });
});

describe('networks of a rule', function () {
  this.timeout(60_000);

  const networks = ['online', 'fallback', 'offline'] as const;
  const list = 'go.example.org/m/@v/list';

  it('F11, G3: with the origin down 502, the stale one, what is kept alone', async () => {
    await using site = await Site.start({
      rules: networks.flatMap((network) => [
        { name: network, path: `/${network}/*`, strip: true, network, namespace: network },
        {
          ...{ name: `go-${network}`, path: `/go-${network}/*`, strip: true, network },
          ...{ protocol: 'go', sumdb: [], listTtl: '1ms', namespace: `go-${network}` },
        },
      ]),
    });
    site.serve('/page', { headers: [['Cache-Control', 'max-age=0']], etag: '"1"' });
    site.serve(`/${list}`, { body: 'v1.0.0\n' });
    const ask = async (network: string): Promise<readonly [Answer, Answer]> => [
      await site.get(`/${network}/page`),
      await site.get(`/go-${network}/${list}`),
    ];
    for (const network of ['online', 'fallback'])
      for (const answer of await ask(network)) expect(answer.status, network).to.equal(200);
    const never = await ask('offline');
    expect(never.map(({ status }) => status)).to.deep.equal([504, 404]);
    expect(String(never[1].body)).to.match(/^not found: .*offline/);
    expect(site.origin.counts('/page').requests).to.equal(2);
    await eventually('rows', () => entryRows(site.node, list).length === 2);
    await site.origin[Symbol.asyncDispose]();
    expect((await ask('online')).map(({ status }) => status)).to.deep.equal([502, 502]);
    const stale = await ask('fallback');
    expect(stale.map((one) => [one.status, xCache(one)])).to.deep.equal([
      [200, 'STALE'],
      [200, 'STALE'],
    ]);
    expect(String(stale[1].body)).to.equal('v1.0.0\n');
  });

  it('offline serves what a former network kept, however stale, but not what must be asked about', async () => {
    const rule: Record<string, unknown> = { name: 'site', protocol: 'http', fetch: 'site' };
    await using origin = await OracleOrigin.start();
    await using client = new HttpClient();
    await using node = await NodeProcess.start({
      config: { fetchers: { site: { type: 'origin', url: origin.url } }, rules: [rule] },
    });
    const bound = '/bound?cc=max-age=0,must-revalidate';
    const free = '/free?cc=max-age=0';
    const host = { headers: { host: 'site.test' } };
    for (const path of [bound, free]) {
      expect((await client.get(node.url + path, host)).status).to.equal(200);
      await eventually('its row', () => entryRows(node, path)[0]);
    }
    await node.stop();
    rule['network'] = 'offline';
    await node.restart();
    const stale = await client.get(node.url + free, host);
    expect([stale.status, xCache(stale)]).to.deep.equal([200, 'STALE']);
    expect((await client.get(node.url + bound, host)).status).to.equal(504);
    expect(origin.counts().requests).to.equal(2);
  });

  it('Disable-Module-Fetch and /cached-only give what is kept and fetch nothing', async () => {
    await using site = await Site.start({
      rules: [{ name: 'go', path: '/go/*', strip: true, protocol: 'go', sumdb: [] }],
    });
    site.serve(`/${FILE}`, { body: TEXT });
    const header = { headers: { 'disable-module-fetch': 'true' } };
    for (const answer of [
      await site.get(`/go/${FILE}`, header),
      await site.get(`/go/cached-only/${FILE}`),
    ]) {
      expect(answer.status).to.equal(404);
      expect(String(answer.body)).to.match(/^not found: not kept here/);
    }
    expect(site.origin.counts().requests).to.equal(0);
    await site.keep(`/go/${FILE}`, {}, FILE);
    for (const answer of [
      await site.get(`/go/${FILE}`, header),
      await site.get(`/go/cached-only/${FILE}`),
    ])
      expect([answer.status, String(answer.body)]).to.deep.equal([200, TEXT]);
    expect(site.origin.counts().requests).to.equal(1);
  });
});

describe('a validator', function () {
  this.timeout(60_000);

  it('F11: 403 denies with its reason, verdicts are remembered and shared, silence is 503', async () => {
    const asked: string[] = [];
    let silent = false;
    const service = createServer((request, response) => {
      let body = '';
      request.on('data', (piece) => {
        body += String(piece);
      });
      request.on('end', () => {
        asked.push(body);
        if (silent) return;
        const denied = body.includes('bad.example.org') || body.includes('/denied');
        setTimeout(() => {
          response
            .writeHead(denied ? 403 : 204)
            .end(denied ? 'licence not approved\x1b[31m\n' : '');
        }, 50);
      });
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}/hook`;
    const modules = { strip: true, protocol: 'go', sumdb: [] };
    await using site = await Site.start({
      rules: [
        { name: 'go', path: '/go/*', ...modules, validator: { url, timeout: '30s' } },
        { name: 'web', path: '/web/*', validator: { url, timeout: '30s' } },
        // Asked only once the service is silent.
        { name: 'shut', path: '/shut/*', ...modules, validator: { url, timeout: '300ms' } },
        { name: 'open', path: '/open/*', validator: { url, timeout: '300ms', onError: 'allow' } },
      ],
    });
    try {
      site.serve('/good.example.org/m/@v/v1.0.0.mod', { body: TEXT });
      const storm = await Promise.all(
        Array.from(
          { length: 10 },
          async () => await site.get('/go/good.example.org/m/@v/v1.0.0.mod'),
        ),
      );
      expect(storm.map(({ status }) => status)).to.deep.equal(Array(10).fill(200));
      expect(asked).to.deep.equal([
        JSON.stringify({ Module: 'good.example.org/m', Version: 'v1.0.0' }),
      ]);
      const denied = await site.get('/go/bad.example.org/m/@v/v1.0.0.zip');
      expect([denied.status, String(denied.body)]).to.deep.equal([
        403,
        'licence not approved [31m\n',
      ]);
      expect((await site.get('/go/bad.example.org/m/@v/list')).status).to.equal(403);
      expect((await site.get('/web/denied')).status).to.equal(403);
      expect((await site.get('/web/fine')).status).to.equal(200);
      expect(site.origin.counts('/bad.example.org/m/@v/v1.0.0.zip').requests).to.equal(0);
      silent = true;
      const known = await site.get('/go/good.example.org/m/@v/v1.0.0.mod');
      expect([known.status, xCache(known)]).to.deep.equal([200, 'HIT']);
      expect((await site.get('/shut/new.example.org/m/@v/v1.0.0.mod')).status).to.equal(503);
      expect((await site.get('/open/page')).status).to.equal(200);
    } finally {
      service.close();
      service.closeAllConnections();
    }
  });
});
