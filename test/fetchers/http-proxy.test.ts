import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import { startOrigin } from './origins.ts';
import { ask, base, failure, readText, until } from './requests.ts';

describe('forward proxy', () => {
  let proxy: Server;
  let address: string;
  let seen: string[] = [];
  const tunnels = new Set<Socket>();

  beforeEach(async () => {
    seen = [];
    proxy = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      response.writeHead(200, ['Set-Cookie', 'a=1', 'Set-Cookie', 'b=2']);
      response.end(JSON.stringify(request.rawHeaders));
    });
    proxy.on('connect', (request: { url?: string }, socket: Socket) => {
      tunnels.add(socket);
      seen.push(`CONNECT ${request.url}`);
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    for (const tunnel of tunnels) tunnel.destroy();
    proxy.closeAllConnections();
    proxy.close();
  });

  const over = (url: string, env: Record<string, string>): OriginFetcher =>
    new OriginFetcher({ ...base(), url: new URL(url), env });

  it('takes requests for http origins, with every field', async () => {
    await using fetcher = over('http://origin.example/base', { HTTP_PROXY: `http://${address}` });
    const fetched = await fetcher.fetch(
      ask('/x?y', [
        ['X-A', '1'],
        ['Accept', '*/*'],
        ['X-A', '2'],
      ]),
    );
    expect(fetched.headers.getAll('set-cookie')).to.deep.equal(['a=1', 'b=2']);
    const raw = JSON.parse((await readText(fetched))[1]) as string[];
    expect(seen).to.deep.equal(['GET http://origin.example/base/x?y']);
    const of = (name: string): string[] =>
      raw.filter((_, i) => i % 2 === 1 && raw[i - 1]?.toLowerCase() === name);
    expect(of('host')).to.deep.equal(['origin.example']);
    expect(of('x-a').join(', ')).to.equal('1, 2');
  });

  it('may be written without a scheme', async () => {
    await using fetcher = over('http://origin.example', { http_proxy: address });
    await readText(await fetcher.fetch(ask('/x')));
    expect(seen).to.deep.equal(['GET http://origin.example/x']);
  });

  it('is asked for a tunnel to https origins', async () => {
    await using fetcher = over('https://origin.example', { HTTPS_PROXY: `http://${address}` });
    await failure(fetcher.fetch(ask('/x')), 'upstream');
    expect(seen).to.deep.equal(['CONNECT origin.example:443']);
  });

  it('is left out for what NO_PROXY names', async () => {
    const env = { HTTP_PROXY: `http://${address}`, NO_PROXY: '.example,invalid' };
    await using fetcher = over('http://nowhere.invalid', env);
    await failure(fetcher.fetch(ask('/x')), 'upstream');
    expect(seen).to.deep.equal([]);
  });

  it('is left out for this machine', async () => {
    const origin = await startOrigin((_, response) => response.end('direct'));
    await using fetcher = over(origin.url, { HTTP_PROXY: `http://${address}` });
    expect(await readText(await fetcher.fetch(ask('/x')))).to.deep.equal([200, 'direct']);
    expect(seen).to.deep.equal([]);
    await origin.close();
  });

  it('says which variable is no URL', () => {
    expect(() => over('http://origin.example', { HTTP_PROXY: 'http://' })).to.throw(
      'HTTP_PROXY is not a URL',
    );
  });
});

describe('an origin that accepts no more connections', () => {
  it('fails as timeout', async () => {
    const script = `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 },
      function () { console.log(this.address().port); })`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const waiting: Socket[] = [];
    try {
      const port = Number(String(((await once(child.stdout, 'data')) as [Buffer])[0]));
      child.kill('SIGSTOP');
      // While the process stands still the kernel takes as many as the backlog has room for, then none.
      let connected = 0;
      for (let i = 0; i < 8; i += 1) {
        const socket = connect(port, '127.0.0.1').on('connect', () => {
          connected += 1;
        });
        waiting.push(socket.on('error', () => {}));
      }
      await until(() => connected >= 2);
      await using fetcher = new OriginFetcher({
        ...base(),
        url: new URL(`http://127.0.0.1:${port}`),
        limits: { connectMs: 100 },
      });
      const { message } = await failure(fetcher.fetch(ask('/x')), 'timeout');
      expect(message).to.contain('no connection within the time limit');
    } finally {
      for (const socket of waiting) socket.destroy();
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
});
