import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import type { HttpLimits } from '../../src/fetchers/http-client.ts';
import { OriginFetcher, type OriginOptions } from '../../src/fetchers/origin-fetcher.ts';
import { Metrics } from '../../src/metrics.ts';
import { startOrigin, startRawOrigin, type TestOrigin } from './origins.ts';
import { ask, base, failure, read, readText, until } from './requests.ts';

describe('OriginFetcher', () => {
  let origin: TestOrigin | undefined;
  let fetcher: OriginFetcher | undefined;

  const over = (url: string, options: Partial<OriginOptions> = {}): OriginFetcher => {
    fetcher = new OriginFetcher({ ...base(), url: new URL(url), ...options });
    return fetcher;
  };
  const says = async (
    bytes: string | ((socket: Socket) => void),
    limits: Partial<HttpLimits> = {},
  ): Promise<OriginFetcher> => {
    origin = await startRawOrigin((socket) => {
      if (typeof bytes === 'string') socket.end(bytes, 'latin1');
      else bytes(socket);
    });
    return over(origin.url, { limits });
  };

  afterEach(async () => {
    await fetcher?.[Symbol.asyncDispose]();
    await origin?.close();
    fetcher = undefined;
    origin = undefined;
  });

  describe('time limits', () => {
    it('P14: fails as timeout when no answer comes', async () => {
      const at = await says(() => {}, { firstByteMs: 100 });
      const { message } = await failure(at.fetch(ask('/x')), 'timeout');
      expect(message).to.contain('no answer');
      await until(() => origin?.open === 0);
    });

    it('fails as timeout when the head does not end', async () => {
      const at = await says((socket) => socket.write('HTTP/1.1 200 OK\r\nX-A: '), {
        firstByteMs: 100,
      });
      await failure(at.fetch(ask('/x')), 'timeout');
    });

    it('fails as timeout when the body stands still', async () => {
      const at = await says(
        (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'),
        { bodyIdleMs: 100 },
      );
      await failure(read((await at.fetch(ask('/x'))).body), 'timeout');
      await until(() => origin?.open === 0);
    });

    it('fails as timeout when the body trickles below the minimum rate', async () => {
      let trickle: NodeJS.Timeout | undefined;
      const at = await says(
        (socket) => {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n');
          trickle = setInterval(() => socket.write('x'), 10);
          socket.on('close', () => clearInterval(trickle));
        },
        { minRate: 10_000, minRateWindowMs: 100 },
      );
      const { message } = await failure(read((await at.fetch(ask('/x'))).body), 'timeout');
      expect(message).to.contain('slower than 10000 bytes per second');
    });

    it('does not count the pauses of a slow reader against the origin', async () => {
      const bytes = 4 * 1024 * 1024;
      origin = await startOrigin((_, response) => response.end(Buffer.alloc(bytes)));
      const at = over(origin.url, {
        limits: { bodyIdleMs: 50, minRate: 1e9, minRateWindowMs: 50 },
      });
      const { body } = await at.fetch(ask('/x'));
      let seen = 0;
      await new Promise<void>((resolve, reject) => {
        body.on('error', reject).on('end', resolve);
        body.on('data', (chunk: Buffer) => {
          seen += chunk.length;
          if (seen !== chunk.length) return;
          body.pause();
          setTimeout(() => body.resume(), 200);
        });
      });
      expect(seen).to.equal(bytes);
    });
  });

  describe('reaching the origin', () => {
    it('P14: fails as upstream naming host and port when it refuses', async () => {
      const gone = await startOrigin(() => {});
      await gone.close();
      const metrics = new Metrics();
      const { message } = await failure(over(gone.url, { metrics }).fetch(ask('/x')), 'upstream');
      expect(message).to.equal(`${new URL(gone.url).host}: connection refused`);
      expect(metrics.value('fetch_errors_total', 'site,upstream')).to.equal(1);
    });

    it('fails as upstream when there is no such host', async () => {
      const { message } = await failure(
        over('http://nowhere.invalid:81').fetch(ask('/x')),
        'upstream',
      );
      expect(message).to.match(/^nowhere\.invalid:81: .*(host|look-up)/);
    });

    it('reuses its connection', async () => {
      origin = await startOrigin((_, response) => response.end('ok'));
      const at = over(origin.url);
      for (let i = 0; i < 20; i += 1) await read((await at.fetch(ask(`/${i}`))).body);
      expect(origin.accepted).to.equal(1);
    });
  });

  describe('what is sent', () => {
    const echo = async (
      options: Partial<OriginOptions> = {},
      path = '',
    ): Promise<OriginFetcher> => {
      origin = await startOrigin((request, response) => {
        const hash: Buffer[] = [];
        request.on('data', (chunk: Buffer) => hash.push(chunk));
        request.on('end', () => {
          const { method, url, rawHeaders } = request;
          response.end(
            JSON.stringify({ method, url, rawHeaders, body: Buffer.concat(hash).toString() }),
          );
        });
      });
      return over(origin.url + path, options);
    };
    const seen = async (
      at: OriginFetcher,
      request: Parameters<OriginFetcher['fetch']>[0],
    ): Promise<{ method: string; url: string; rawHeaders: string[]; body: string }> =>
      JSON.parse((await readText(await at.fetch(request)))[1]);

    it('has the origin’s own host unless the rule preserves it', async () => {
      const at = await echo();
      const own = new URL(origin?.url ?? '').host;
      expect(
        (await seen(at, ask('/x', [['Host', 'evil.example']]))).rawHeaders.slice(0, 2),
      ).to.deep.equal(['host', own]);
      const kept = await seen(at, ask('/x', [], { host: 'www.example.com' }));
      expect(kept.rawHeaders.slice(0, 2)).to.deep.equal(['host', 'www.example.com']);
    });

    it('keeps path and query byte for byte, behind the base path', async () => {
      const at = await echo({}, '/base/');
      const path = '/a%2Fb/!c;d=1/~?q=%41&x=/../y';
      expect((await seen(at, ask(path))).url).to.equal(`/base${path}`);
    });

    it('H-73: an absolute or protocol-relative path stays with the origin', async () => {
      const at = await echo();
      expect((await seen(at, ask('//evil.example/x'))).url).to.equal('//evil.example/x');
      await failure(at.fetch(ask('http://evil.example/x')), 'invalid');
    });

    for (const path of [
      '',
      'x',
      '/a b',
      '/a\r\nX-Evil: 1',
      '/a\nb',
      '/a\0b',
      '/a#b',
      '/a\x7f',
      '/\u0100',
      '/a\tb',
    ]) {
      it(`refuses the target ${JSON.stringify(path)}`, async () => {
        await failure((await echo()).fetch(ask(path)), 'invalid');
        expect(origin?.accepted).to.equal(0);
      });
    }

    for (const path of ['/../x', '/a/..', '/%2e%2E/x', '/.%2e/x', '/a/./b', '/..%2fx']) {
      it(`refuses ${path} behind a base path`, async () => {
        await failure((await echo({}, '/base')).fetch(ask(path)), 'invalid');
      });
    }

    for (const [name, value] of [
      ['X-A', 'a\r\nX-Evil: 1'],
      ['X-A', 'a\0'],
      ['X A', 'b'],
      ['X-A\r\nX-Evil', '1'],
    ] as const) {
      it(`refuses the field ${JSON.stringify(`${name}: ${value}`)}`, async () => {
        await failure((await echo()).fetch(ask('/x', [[name, value]])), 'invalid');
        expect(origin?.accepted).to.equal(0);
      });
    }

    it('replaces Authorization by the configured credentials', async () => {
      const at = await echo({ auth: { basic: { user: 'me', password: 'p:w' } } });
      const { rawHeaders } = await seen(at, ask('/x', [['Authorization', 'Bearer client']]));
      const sent = rawHeaders.filter(
        (_, i) => rawHeaders[i - 1]?.toLowerCase() === 'authorization',
      );
      expect(sent).to.deep.equal([`Basic ${Buffer.from('me:p:w').toString('base64')}`]);
    });

    it('passes Authorization where none is configured', async () => {
      const { rawHeaders } = await seen(
        await echo(),
        ask('/x', [['authorization', 'Bearer client']]),
      );
      expect(rawHeaders).to.include('Bearer client');
    });

    it('sends bodies, with their length or chunked', async () => {
      const at = await echo();
      const body = (): Readable => Readable.from([Buffer.from('he'), Buffer.from('llo')]);
      const sized = await seen(
        at,
        ask('/x', [['Content-Length', '5']], { method: 'POST', body: body() }),
      );
      expect([sized.method, sized.body]).to.deep.equal(['POST', 'hello']);
      expect(sized.rawHeaders.join(' ')).to.match(/content-length 5/i);
      const chunked = await seen(at, ask('/x', [], { method: 'PUT', body: body() }));
      expect(chunked.body).to.equal('hello');
      expect(chunked.rawHeaders.join(' ')).to.match(/transfer-encoding chunked/i);
    });

    for (const [how, error] of [
      ['fails', new Error('the client left')],
      ['is destroyed', undefined],
    ] as const)
      it(`fails when its request body ${how}, and frees the connection`, async () => {
        const at = await echo();
        const body = new Readable({ read() {} });
        const fetching = at.fetch(ask('/x', [['Content-Length', '5']], { method: 'POST', body }));
        await until(() => (origin?.open ?? 0) > 0);
        body.destroy(error);
        await failure(fetching, 'aborted');
        await until(() => origin?.open === 0);
      });

    it('destroys a request body that nobody will read', async () => {
      const gone = await startOrigin(() => {});
      await gone.close();
      const body = new Readable({ read() {} });
      await failure(over(gone.url).fetch(ask('/x', [], { method: 'POST', body })), 'upstream');
      expect(body.destroyed).to.equal(true);
    });

    it('does not send fields of the connection', async () => {
      const { rawHeaders } = await seen(
        await echo(),
        ask('/x', [
          ['Connection', 'close, X-B'],
          ['Keep-Alive', 'x'],
          ['TE', 'gzip'],
          ['Expect', '100-continue'],
          ['Transfer-Encoding', 'chunked'],
          ['Upgrade', 'h2c'],
          ['Content-Length', '7'],
          ['Proxy-Authorization', 'x'],
        ]),
      );
      expect(rawHeaders.map((word) => word.toLowerCase())).to.deep.equal([
        'host',
        new URL(origin?.url ?? '').host,
        'connection',
        'keep-alive',
      ]);
    });
  });
});
