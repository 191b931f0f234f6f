import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'chai';
import { HttpClient, readBytes } from '../support/http-client.ts';
import { CAJE, cleanEnv, runCaje } from '../support/run-caje.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { eventually } from './eventually.ts';
import { Site } from './site.ts';

const { version } = JSON.parse(
  await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
) as { readonly version: string };

const GOOD = `fetchers:
  site: { type: origin, url: http://127.0.0.1:3000, auth: { bearer: top-secret-word } }
rules:
  - { name: site, protocol: http, fetch: site }
`;

describe('criteria of the command line', function () {
  this.timeout(60_000);

  for (const [what, text, message] of [
    ['an unknown key', `${GOOD}lisen: {}\n`, /caje\.yaml:5: .*lisen/],
    [
      'a bad value',
      `${GOOD}fills: { concurrent: many }\n`,
      /caje\.yaml:5: fills\.concurrent: .*many/,
    ],
  ] as const) {
    it(`C1: config check exits 2 for ${what} and names its path`, async () => {
      await using folder = await tempFolder();
      await writeFile(join(folder.path, 'caje.yaml'), text);
      const result = await runCaje(['config', 'check'], { cwd: folder.path });
      expect(result.code).to.equal(2);
      expect(result.stderr).to.match(message);
      expect(result.stdout + result.stderr).to.not.match(/^\s+at /m);
    });
  }

  it('C1: an override by the environment counts, is checked, and secrets are masked', async () => {
    await using folder = await tempFolder();
    await writeFile(join(folder.path, 'caje.yaml'), GOOD);
    const config = async (
      command: string,
      env: Record<string, string>,
    ): ReturnType<typeof runCaje> => await runCaje(['config', command], { cwd: folder.path, env });
    const printed = await config('print', { CAJE_FILLS__CONCURRENT: '7' });
    expect(printed.code, printed.stderr).to.equal(0);
    expect(printed.stdout)
      .to.match(/concurrent: 7\b/)
      .and.match(/127\.0\.0\.1:3000/);
    expect(printed.stdout).to.not.include('top-secret-word');
    const refused = await config('check', { CAJE_FILLS__CONCURRENT: 'many' });
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.match(/CAJE_FILLS__CONCURRENT/);
    const unknown = await config('check', { CAJE_FILS__CONCURRENT: '7' });
    expect(unknown.code).to.equal(2);
    expect(unknown.stderr).to.match(/CAJE_FILS__CONCURRENT/);
  });

  it('C7: slow-server has its routes, slow ones fresh for a minute, and ends on SIGTERM', async () => {
    const child = spawn(CAJE, ['slow-server', '--port', '0'], {
      env: cleanEnv(),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const gone = once(child, 'exit');
    try {
      const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
      const url = /http:\S+/.exec(line)?.[0] ?? '';
      await using client = new HttpClient();
      const began = performance.now();
      const timed = async (
        path: string,
      ): Promise<readonly [number, string | undefined, number]> => {
        const { status, headers } = await client.get(url + path);
        return [status, headers.get('Cache-Control'), performance.now() - began];
      };
      const [page, fast, slow] = await Promise.all(['/', '/fast', '/slow'].map(timed));
      for (const answer of [page, fast, slow]) {
        expect(answer?.slice(0, 2)).to.deep.equal([200, 'max-age=60']);
      }
      expect(fast?.[2]).to.be.within(990, 4_000);
      expect(slow?.[2]).to.be.within(4_990, 9_000);
      const body = async (path: string, method = 'GET'): Promise<string> =>
        (await client.get(url + path, { method })).body.toString();
      expect(JSON.parse(await body('/echo?a=b', 'POST'))).to.include({
        method: 'POST',
        url: '/echo?a=b',
      });
      expect(await body('/stream?chunks=3&interval=1&size=10')).to.have.length(30);
      expect(await body('/size/1234')).to.have.length(1234);
      expect((await client.get(`${url}/status/418`)).status).to.equal(418);
      expect(JSON.parse(await body('/counters')).paths).to.include({ '/fast': 1, '/slow': 1 });
    } finally {
      child.kill('SIGTERM');
    }
    expect(await gone).to.deep.equal([0, null]);
  });
});

describe('criteria of operation', function () {
  this.timeout(60_000);

  it('C2: healthz and version are always there, readyz is 503 with reasons without its storage', async () => {
    await using site = await Site.start();
    const ask = async (name: string): Promise<readonly [number, unknown]> => {
      const { status, body } = await site.get(`/_caje/${name}`);
      return [status, JSON.parse(body.toString())];
    };
    expect(await ask('healthz')).to.deep.equal([200, { status: 'ok' }]);
    expect(await ask('readyz')).to.deep.equal([200, { status: 'ready', reasons: [] }]);
    expect(await ask('version')).to.deep.equal([200, { name: 'caje', version }]);
    const blobs = join(site.node.dataDir, 'blobs');
    await site.keep('/large?size=200000');
    await rename(blobs, `${blobs}-away`);
    await writeFile(blobs, 'a file in the place of the folder');
    const [, state] = await eventually('not ready', async () => {
      await site.get(`/refused?size=200000&now=${performance.now()}`);
      const answer = await ask('readyz');
      return answer[0] === 503 ? answer : undefined;
    });
    const { reasons } = state as { readonly reasons: readonly { readonly name: string }[] };
    expect(reasons.map(({ name }) => name)).to.deep.equal(['storage local']);
    expect((await ask('healthz'))[0]).to.equal(200);
    expect((await ask('version'))[0]).to.equal(200);
  });

  it('C4: SIGTERM lets a download finish, then the node exits 0', async () => {
    await using site = await Site.start();
    const gate = Promise.withResolvers<void>();
    site.serve('/long', { size: 300_000, pause: { at: 100_000, until: gate.promise } });
    const answer = await site.client.stream(`${site.node.url}/long`);
    const first = await readBytes(answer.body, 64_000);
    const stopped = site.node.stop();
    await eventually('no new connections', async () => {
      await using client = new HttpClient();
      return await client.get(`${site.node.url}/other`).then(
        () => false,
        () => true,
      );
    });
    expect(site.node.isRunning).to.equal(true);
    gate.resolve();
    const chunks = [first];
    for await (const chunk of answer.body) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).equals(site.bytes('/long', 300_000))).to.equal(true);
    expect(await stopped).to.deep.equal({ code: 0, signal: undefined });
  });

  it('C4: after the time for it is over the node exits anyway, and the download is cut', async () => {
    await using site = await Site.start({ config: { drain: { grace: '300ms' } } });
    site.serve('/endless', { size: 300_000, pause: { at: 100_000, until: new Promise(() => {}) } });
    const answer = await site.client.stream(`${site.node.url}/endless`);
    await readBytes(answer.body, 64_000);
    const cut = once(answer.body, 'error');
    answer.body.resume();
    const { signal } = await site.node.stop();
    expect(signal).to.equal(undefined);
    await cut;
  });

  it('C5: every failing call tells code, detail, retryable and a request id that is in the log', async () => {
    await using site = await Site.start({
      rules: [{ name: 'down', host: 'down.test', fetch: 'down' }],
      fetchers: { down: { type: 'origin', url: 'http://127.0.0.1:9' } },
    });
    for (const [host, path, status, code, retryable] of [
      ['nobody.test', '/', 421, 'misdirected', false],
      ['down.test', '/', 502, 'upstream', true],
      ['127.0.0.1', '/_caje/nothing', 404, 'not-found', false],
    ] as const) {
      const answer = await site.getAs(host, path);
      expect([answer.status, answer.headers.get('Content-Type')]).to.deep.equal([
        status,
        'application/problem+json',
      ]);
      const problem = JSON.parse(answer.body.toString()) as Record<string, unknown>;
      expect(problem).to.include({ status, code, retryable });
      expect(problem['detail']).to.be.a('string').and.not.equal('');
      const { requestId } = problem;
      expect(answer.headers.get('X-Request-Id')).to.equal(requestId);
      const line = await site.node.logged((one) => one['requestId'] === requestId);
      expect(line).to.include({ status, error: code });
    }
  });
});
