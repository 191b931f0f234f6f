import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { eventually } from '../criteria/eventually.ts';
import { entryRows } from '../criteria/node-files.ts';
import { xCache } from '../criteria/site.ts';
import { GoRegistry } from '../support/go-registry.ts';
import { HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';

const AT = '/up.example.org/m/@v/';
const PAGE = '<!DOCTYPE html>\n<html><body>Please log in to this network.</body></html>\n';

describe('Go modules behind what stands between node and upstream', function () {
  this.timeout(30_000);

  let registry: GoRegistry;
  let client: HttpClient;
  let node: NodeProcess;

  before(async () => {
    registry = await GoRegistry.start();
    client = new HttpClient();
    node = await NodeProcess.start({
      config: {
        fetchers: { modules: { type: 'upstreams', list: `${registry.url}/base` } },
        rules: [
          {
            ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
            sumdb: [],
          },
        ],
      },
    });
  });
  after(async () => {
    await client?.[Symbol.asyncDispose]();
    await node?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
  });

  const get = async (path: string): ReturnType<HttpClient['get']> =>
    await client.get(`${node.url}/go${path}`);

  it('rule 9: an Age of a cache in between does not shorten how long a list or an absence is good for', async () => {
    const list = `/base${AT}list`;
    registry.put(list, { body: 'v1.0.0\n', headers: { Age: '120' } });
    const absent = '/absent.example.org/m/@v/list';
    registry.put(`/base${absent}`, { status: 404, body: 'none\n', headers: { Age: '120' } });
    for (const path of [`${AT}list`, absent]) {
      for (let round = 0; round < 5; round++) {
        const { headers } = await get(path);
        expect(Number(headers.get('age') ?? 0), path).to.be.lessThan(5);
      }
      expect(registry.requests.filter((one) => one === `/base${path}`)).to.have.lengthOf(1);
    }
  });

  it('a redirect of the upstream is one that the client can follow, and is not kept', async () => {
    const path = `${AT}v1.2.0.zip`;
    for (const [location, expected] of [
      ['/files/one.zip', `${registry.url}/files/one.zip`],
      ['../../../two.zip', `${registry.url}/base/two.zip`],
      ['http://127.0.0.1:1/three.zip', 'http://127.0.0.1:1/three.zip'],
    ] as const) {
      registry.put(`/base${path}`, { status: 302, body: '', headers: { Location: location } });
      const answer = await get(path);
      expect([answer.status, answer.headers.get('location')]).to.deep.equal([302, expected]);
    }
    expect(entryRows(node, path.slice(1))).to.deep.equal([]);
  });

  it('answers without a body that name a content coding: 304 confirms, HEAD is 200, and the node stays', async () => {
    const coded = gzipSync('v1.0.0\n');
    let confirmed = 0;
    const upstream = createServer((req, res) => {
      res.setHeader('Content-Encoding', 'gzip').setHeader('ETag', '"one"');
      if (req.headers['if-none-match'] !== undefined) {
        confirmed += 1;
        res.writeHead(304).end();
      } else res.end(req.method === 'HEAD' ? undefined : coded);
    });
    await once(upstream.listen(0, '127.0.0.1'), 'listening');
    const { port } = upstream.address() as AddressInfo;
    try {
      const rule = { name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' };
      await using other = await NodeProcess.start({
        config: {
          fetchers: { modules: { type: 'upstreams', list: `http://127.0.0.1:${port}` } },
          rules: [{ ...rule, sumdb: [], listTtl: '1ms' }],
        },
      });
      const url = `${other.url}/go${AT}list`;
      const { status, headers } = await client.get(url, { method: 'HEAD' });
      expect([status, headers.has('content-encoding')]).to.deep.equal([200, false]);
      expect(String((await client.get(url)).body)).to.equal('v1.0.0\n');
      await eventually('a confirmed list', async () => xCache(await client.get(url)) !== 'MISS');
      for (let round = 0; round < 5; round++)
        expect(String((await client.get(url)).body)).to.equal('v1.0.0\n');
      expect(confirmed).to.be.greaterThan(0);
    } finally {
      upstream.closeAllConnections();
      upstream.close();
    }
  });

  it('a page that asks for a log-in is neither kept nor pinned in the place of a file', async () => {
    const good: Readonly<Record<string, string>> = {
      'v1.3.0.info': '{"Version":"v1.3.0","Time":"2024-01-02T03:04:05Z"}',
      'v1.3.0.mod': 'module up.example.org/m\n',
    };
    for (const [file, body] of Object.entries(good)) {
      const path = AT + file;
      registry.put(`/base${path}`, PAGE);
      expect(String((await get(path)).body), 'bytes pass').to.equal(PAGE);
      registry.put(`/base${path}`, body);
      // The page may still be looked at when the next request comes.
      await eventually('the file', async () => String((await get(path)).body) === body);
      await eventually('its row', () => entryRows(node, path.slice(1))[0]);
      expect(xCache(await get(path))).to.equal('HIT');
    }
  });

  it('an .info of another version is passed on and not kept', async () => {
    const path = `${AT}v1.4.0.info`;
    registry.put(`/base${path}`, '{"Version":"v1.4.1"}');
    for (const round of [1, 2]) {
      expect(String((await get(path)).body)).to.equal('{"Version":"v1.4.1"}');
      expect(registry.requests.filter((one) => one === `/base${path}`)).to.have.lengthOf(round);
    }
  });

  it('a database that nobody configured is passed on when the upstream passes it on', async () => {
    const name = 'sums.example.org';
    const start = async (network: string): Promise<NodeProcess> =>
      await NodeProcess.start({
        config: {
          fetchers: { modules: { type: 'upstreams', list: registry.url } },
          rules: [
            { name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules', network },
          ],
        },
        env: { GOSUMDB: name },
      });
    await using online = await start('online');
    const path = `/go/sumdb/${name}/supported`;
    expect((await client.get(online.url + path)).status).to.equal(404);
    await using other = await start('online');
    registry.put(`/sumdb/${name}/supported`, '');
    expect((await client.get(other.url + path)).status).to.equal(200);
    expect((await client.get(other.url + path)).status).to.equal(200);
    expect(registry.asked(`/sumdb/${name}/supported`)).to.equal(2);
    await using away = await start('online');
    await registry.leave();
    expect((await client.get(away.url + path)).status, 'what is kept is good without it').to.equal(
      200,
    );
    await registry.return();
    await using offline = await start('offline');
    expect((await client.get(offline.url + path)).status).to.equal(200);
    expect(registry.asked(`/sumdb/${name}/supported`)).to.equal(2);
  });
});
