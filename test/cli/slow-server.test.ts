import { createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { expect } from 'chai';
import { type SlowServer, startSlowServer } from '../../src/cli/slow-server.ts';
import { until } from '../fetchers/requests.ts';

describe('slow server (C7)', () => {
  let server: SlowServer;
  before(async () => {
    server = await startSlowServer({ port: 0, host: '127.0.0.1' });
  });
  after(async () => {
    await server.close();
  });

  const get = async (path: string, init: RequestInit = {}): Promise<Response> =>
    await fetch(server.url + path, { redirect: 'manual', ...init });
  const counters = async (): Promise<{
    peak: number;
    running: number;
    paths: Record<string, number>;
  }> => (await (await get('/counters')).json()) as never;

  it('has a page that links to all others', async () => {
    const answer = await get('/');
    expect(answer.headers.get('cache-control')).to.equal('max-age=60');
    expect(answer.headers.get('content-type')).to.equal('text/html; charset=utf-8');
    const links = [...(await answer.text()).matchAll(/href="([^"]+)"/g)].map(
      (link) => link[1] ?? '',
    );
    expect(links).to.have.length(8);
    for (const link of links.filter((path) => !/slow|fast|stream/.test(path))) {
      expect((await get(link)).status, link).to.be.oneOf([200, 404]);
    }
  });

  for (const [path, ms] of [
    ['/fast', 1_000],
    ['/slow', 5_000],
  ] as const) {
    it(`answers ${path} after ${ms} ms, fresh for a minute`, async () => {
      const began = performance.now();
      const answer = await get(path);
      expect(performance.now() - began).to.be.within(ms - 5, 2 * ms + 1_000);
      expect([answer.status, answer.headers.get('cache-control')]).to.deep.equal([
        200,
        'max-age=60',
      ]);
      await answer.text();
    });
  }

  it('streams pieces of the size and number asked for', async () => {
    const answer = await get('/stream?chunks=5&interval=20&size=100');
    expect(answer.headers.get('content-length')).to.equal(null);
    const began = performance.now();
    const text = await answer.text();
    expect(performance.now() - began).to.be.greaterThan(60);
    expect(text)
      .to.have.length(500)
      .and.match(/^chunk 1 of 5\n\./);
  });

  for (const path of [
    '/stream?chunks=x',
    '/stream?size=-1',
    '/stream?interval=99999999',
    '/size/x',
    '/size/',
    '/status/abc',
    '/status/99',
    '/status/',
  ]) {
    it(`answers 400 to ${path}`, async () => {
      expect((await get(path)).status).to.equal(400);
    });
  }

  it('echoes method, target, fields as they came, and what the body was', async () => {
    const body = 'some bytes';
    const answer = (await (
      await get('/echo?a=1', { method: 'POST', body, headers: { 'X-Mine': 'yes' } })
    ).json()) as { method: string; url: string; headers: string[]; body: unknown };
    expect([answer.method, answer.url]).to.deep.equal(['POST', '/echo?a=1']);
    expect(answer.headers.join(' ')).to.contain('yes');
    expect(answer.body).to.deep.equal({
      size: body.length,
      sha256: createHash('sha256').update(body).digest('hex'),
    });
  });

  it('answers with the status asked for', async () => {
    for (const code of [200, 204, 301, 304, 404, 410, 429, 500, 503, 599]) {
      const answer = await get(`/status/${code}`);
      expect(answer.status).to.equal(code);
      await answer.text();
    }
    expect((await get('/status/302')).headers.get('location')).to.equal('/');
  });

  it('gives the same bytes for the same length', async () => {
    const bytes = async (path: string): Promise<Buffer> =>
      Buffer.from(await (await get(path)).arrayBuffer());
    const first = await bytes('/size/200000');
    expect(first.length).to.equal(200_000);
    expect(first.equals(await bytes('/size/200000'))).to.equal(true);
    expect(first.subarray(0, 99).equals(await bytes('/size/99'))).to.equal(true);
    expect((await bytes('/size/0')).length).to.equal(0);
    const head = await get('/size/12345', { method: 'HEAD' });
    expect(head.headers.get('content-length')).to.equal('12345');
  });

  it('answers 304 to its own ETag, and to no other', async () => {
    const etag = (await get('/etag')).headers.get('etag') ?? '';
    const status = async (tag: string): Promise<number> =>
      await new Promise((resolve, reject) => {
        const asking = httpRequest(`${server.url}/etag`, { headers: { 'If-None-Match': tag } });
        asking.on('error', reject).on('response', (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        });
        asking.end();
      });
    expect(await status(etag)).to.equal(304);
    expect(await status(`"x", W/${etag}`)).to.equal(304);
    expect(await status('"x"')).to.equal(200);
  });

  it('counts each path, and how many are answered at once', async () => {
    const before = await counters();
    const leave = new AbortController();
    // Their heads have come, their ends have not.
    const held = await Promise.all(
      Array.from(
        { length: 7 },
        async () => await get('/stream?chunks=2&interval=60000', { signal: leave.signal }),
      ),
    );
    const now = await counters();
    expect((now.paths['/stream'] ?? 0) - (before.paths['/stream'] ?? 0)).to.equal(7);
    expect(now.running).to.equal(8);
    expect(now.peak).to.be.greaterThanOrEqual(8);
    leave.abort();
    for (const answer of held) await answer.text().catch(() => '');
    await until(async () => (await counters()).running === 1);
  });

  it('answers 404 to what it does not have', async () => {
    expect((await get('/nothing')).status).to.equal(404);
  });

  it('says why it cannot start', async () => {
    const { port } = new URL(server.url);
    const code = await startSlowServer({ port: Number(port), host: '127.0.0.1' }).then(
      () => 'started',
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(code).to.equal('EADDRINUSE');
  });

  it('closes while an answer is still under way', async () => {
    const other = await startSlowServer({ port: 0, host: '127.0.0.1' });
    const failed = fetch(`${other.url}/slow`).then(
      () => false,
      () => true,
    );
    await (await fetch(`${other.url}/counters`)).text();
    await other.close();
    expect(await failed).to.equal(true);
  });
});
