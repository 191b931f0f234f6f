import type { Socket } from 'node:net';
import { expect } from 'chai';
import type { HttpLimits } from '../../src/fetchers/http-client.ts';
import { OriginFetcher, type OriginOptions } from '../../src/fetchers/origin-fetcher.ts';
import { startRawOrigin, type TestOrigin } from './origins.ts';
import { ask, base, failure, read, readText, until } from './requests.ts';

describe('OriginFetcher: framing of answers (H-17 to H-23, F-41)', () => {
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

  const LENGTH = 'Content-Length: 2\r\n';
  const refused: Readonly<Record<string, string>> = {
    'both Content-Length and Transfer-Encoding': `HTTP/1.1 200 OK\r\n${LENGTH}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
    'Transfer-Encoding and then Content-Length': `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${LENGTH}\r\n2\r\nok\r\n0\r\n\r\n`,
    'two different lengths': `HTTP/1.1 200 OK\r\n${LENGTH}Content-Length: 3\r\n\r\nok!`,
    'the same length twice': `HTTP/1.1 200 OK\r\n${LENGTH}${LENGTH}\r\nok`,
    'a list of different lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!',
    'a negative length': 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok',
    'a signed length': 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok',
    'a hexadecimal length': 'HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok',
    'a length with a point': 'HTTP/1.1 200 OK\r\nContent-Length: 2.0\r\n\r\nok',
    'a length beyond all numbers':
      'HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok',
    'a transfer coding that is not chunked': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok',
    'chunked before another coding':
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    'another coding before chunked':
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    'NUL in a value': `HTTP/1.1 200 OK\r\n${LENGTH}X-A: a\0b\r\n\r\nok`,
    'a control character in a value': `HTTP/1.1 200 OK\r\n${LENGTH}X-A: a\x01b\r\n\r\nok`,
    'a bare CR in a value': `HTTP/1.1 200 OK\r\n${LENGTH}X-A: a\rb\r\n\r\nok`,
    'a space before the colon': `HTTP/1.1 200 OK\r\n${LENGTH}X-A : a\r\n\r\nok`,
    'status 099': `HTTP/1.1 099 Odd\r\n${LENGTH}\r\nok`,
    'status 600': `HTTP/1.1 600 Odd\r\n${LENGTH}\r\nok`,
    'a status of two digits': `HTTP/1.1 20 Odd\r\n${LENGTH}\r\nok`,
    '101 that nobody asked for':
      'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nok',
    '101 without an upgrade': `HTTP/1.1 101 Switching\r\n${LENGTH}\r\nok`,
    'only interim answers': `${'HTTP/1.1 103 Hints\r\n\r\n'.repeat(100)}HTTP/1.1 200 OK\r\n${LENGTH}\r\nok`,
    '206 without Range': `HTTP/1.1 206 Part\r\n${LENGTH}Content-Range: bytes 0-1/9\r\n\r\nok`,
    '304 without a condition': 'HTTP/1.1 304 Same\r\n\r\n',
    'more fields than anybody needs': `HTTP/1.1 200 OK\r\n${LENGTH}${'a:\r\n'.repeat(1_000)}\r\nok`,
    'what is no HTTP': 'SSH-2.0-OpenSSH\r\n\r\n',
    'another version': `HTTP/3.7 200 OK\r\n${LENGTH}\r\nok`,
    'a head without an end': 'HTTP/1.1 200 OK\r\nContent-Le',
    'a head beyond 64 KiB': `HTTP/1.1 200 OK\r\n${LENGTH}X-A: ${'a'.repeat(66_000)}\r\n\r\nok`,
  };
  for (const [what, bytes] of Object.entries(refused)) {
    it(`refuses ${what}`, async () => {
      const fetching = (await says(bytes)).fetch(ask('/x'));
      const { message } = await failure(fetching, 'upstream');
      expect(message).to.contain('127.0.0.1:').and.not.to.contain('\n');
      await until(() => origin?.open === 0);
    });
  }

  for (const [what, range, length] of [
    ['beyond the whole', 'bytes 0-9/5', 10],
    ['from back to front', 'bytes 5-2/9', 2],
    ['of fewer bytes than came', 'bytes 0-1/9', 5],
    ['that is no range', 'bytes abc', 2],
  ] as const) {
    it(`refuses a Content-Range ${what}`, async () => {
      const head = `HTTP/1.1 206 Part\r\nContent-Length: ${length}\r\nContent-Range: ${range}`;
      const at = await says(`${head}\r\n\r\n${'x'.repeat(length)}`);
      await failure(at.fetch(ask('/x', [['Range', 'bytes=0-9']])), 'upstream');
    });
  }

  it('hands on a part that is shorter than its Content-Range says', async () => {
    const head = 'HTTP/1.1 206 Part\r\nContent-Length: 2\r\nContent-Range: bytes 0-4/9';
    const fetched = await (await says(`${head}\r\n\r\nxx`)).fetch(
      ask('/x', [['Range', 'bytes=0-4']]),
    );
    expect(await readText(fetched)).to.deep.equal([206, 'xx']);
  });

  it('says of a body that ends with the connection that it may be cut', async () => {
    const fetched = await (await says('HTTP/1.1 200 OK\r\n\r\nok')).fetch(ask('/x'));
    expect(fetched.complete).to.equal(false);
    expect(await readText(fetched)).to.deep.equal([200, 'ok']);
  });

  it('says so of a transfer coding that nobody has registered, and passes its bytes on', async () => {
    const bytes = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: x-own\r\n\r\nok';
    const fetched = await (await says(bytes)).fetch(ask('/x'));
    expect(fetched.complete).to.equal(false);
    expect(await readText(fetched)).to.deep.equal([200, 'ok']);
  });

  it('says so of an answer in HTTP/1.0 too', async () => {
    const fetched = await (await says('HTTP/1.0 200 OK\r\n\r\nok')).fetch(ask('/x'));
    expect(fetched.complete).to.equal(false);
    await read(fetched.body);
  });

  it('drops what follows the announced bytes, and the connection with it', async () => {
    const at = await says((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more');
    });
    expect(await readText(await at.fetch(ask('/x')))).to.deep.equal([200, 'ok']);
    expect(await readText(await at.fetch(ask('/y')))).to.deep.equal([200, 'ok']);
    expect(origin?.accepted).to.equal(2);
  });

  const bodiless = [
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n', 200],
    ['GET', 'HTTP/1.1 204 None\r\nContent-Length: 5\r\n', 204],
    ['GET', 'HTTP/1.1 304 Same\r\nContent-Length: 5\r\n', 304],
  ] as const;
  for (const [method, head, status] of bodiless) {
    it(`H-23: drops the body that comes with ${status} to ${method}, and the connection`, async () => {
      const at = await says((socket) => void socket.write(`${head}\r\nstray`));
      const request = ask('/x', [['If-None-Match', '"a"']], { method });
      for (let i = 0; i < 3; i += 1) {
        expect(await readText(await at.fetch(request))).to.deep.equal([status, '']);
      }
      expect(origin?.accepted).to.equal(3);
    });
  }

  it('gives the final answer behind interim ones', async () => {
    const hints = 'HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n';
    const at = await says(`${hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`);
    const fetched = await at.fetch(ask('/x'));
    expect(fetched.headers.has('link')).to.equal(false);
    expect(await readText(fetched)).to.deep.equal([200, 'ok']);
  });

  for (const cut of ['a bad chunk length', 'no last chunk', 'a bad end of chunk']) {
    it(`errors a chunked body with ${cut}`, async () => {
      const tail = {
        'a bad chunk length': 'zz\r\n',
        'no last chunk': '',
        'a bad end of chunk': '2\r\nok!!',
      };
      const at = await says(
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n${tail[cut as keyof typeof tail]}`,
      );
      // The fault may come with the head in one piece, then there is no answer at all.
      await failure((async () => await read((await at.fetch(ask('/x'))).body))(), 'upstream');
    });
  }

  for (const [what, end] of [
    ['closed', (socket: Socket) => socket.end()],
    ['reset', (socket: Socket) => socket.resetAndDestroy()],
  ] as const) {
    for (const head of [
      'Content-Length: 10\r\n',
      'Content-Length: 10\r\nConnection: close\r\n',
      'Transfer-Encoding: chunked\r\nConnection: close\r\n',
    ]) {
      it(`errors a body whose connection is ${what} (${head.split('\r\n').join(' ').trim()})`, async () => {
        const at = await says((socket) => {
          const part = head.includes('chunked') ? '5\r\nfive!\r\n' : 'five!';
          socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n${part}`, () => end(socket));
        });
        await failure((async () => await read((await at.fetch(ask('/x'))).body))(), 'upstream');
      });
    }
  }
});
