import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener } from 'node:http';
import { expect } from 'chai';
import type { Fetched, FetchRequest } from '../../src/fetchers/fetcher.ts';
import { PeerFetcher, type PeerOptions } from '../../src/fetchers/peer-fetcher.ts';
import { hexToReprDigest, reprDigestToHex } from '../../src/fetchers/peer-protocol.ts';
import type { HeaderLine } from '../../src/headers.ts';
import { startOrigin, type TestOrigin } from './origins.ts';
import { ask, base, failure, read, readText } from './requests.ts';

const BODY = 'the whole body';
const SHA256 = createHash('sha256').update(BODY).digest('hex');
const DIGEST = hexToReprDigest(SHA256);

describe('PeerFetcher', () => {
  let server: TestOrigin | undefined;
  let peer: PeerFetcher | undefined;
  let requests: IncomingMessage[] = [];

  afterEach(async () => {
    await peer?.[Symbol.asyncDispose]();
    await server?.close();
    requests = [];
  });

  const at = async (
    answer: RequestListener,
    options: Partial<PeerOptions> = {},
  ): Promise<PeerFetcher> => {
    server = await startOrigin((request, response) => {
      requests.push(request);
      answer(request, response);
    });
    peer = new PeerFetcher({
      ...base('near'),
      url: new URL(server.url),
      token: 't0ken',
      ...options,
    });
    return peer;
  };
  const says = async (
    headers: Record<string, string>,
    body = BODY,
    request: FetchRequest = ask('/x'),
  ): Promise<Fetched> =>
    await (
      await at((_, response) =>
        response.writeHead(200, { 'Caje-Status': '200', ...headers }).end(body),
      )
    ).fetch(request);

  it('asks for the exact URL with its token, and to fill', async () => {
    const fetcher = await at((_, response) =>
      response.writeHead(200, { 'Caje-Status': '200' }).end(),
    );
    const publicUrl = 'http://www.example.com/a%2Fb?x=%41&y=/../';
    await read((await fetcher.fetch(ask('/b', [], { publicUrl }))).body);
    const [request] = requests;
    expect([request?.method, request?.url]).to.deep.equal(['GET', '/_caje/peer/v1/resource']);
    expect(request?.headers).to.include({
      authorization: 'Bearer t0ken',
      'caje-target': publicUrl,
      'caje-method': 'GET',
      'caje-fill': '1',
    });
    expect(request?.headers).not.to.have.property('cache-control');
  });

  it('asks only-if-cached before others, whatever the client’s Cache-Control', async () => {
    const fetcher = await at((_, response) =>
      response.writeHead(504, { 'Caje-Miss': '1' }).end('no'),
    );
    const lines: HeaderLine[] = [
      ['Cache-Control', 'no-cache'],
      ['Pragma', 'no-cache'],
    ];
    const fetched = await fetcher.inChain(false).fetch(ask('/x', lines));
    expect(fetched.miss).to.equal(true);
    expect(await readText(fetched)).to.deep.equal([504, '']);
    expect(requests[0]?.headers).to.include({ 'cache-control': 'only-if-cached' });
    expect(requests[0]?.headers).not.to.have.any.keys('caje-fill', 'pragma');
  });

  it('keeps its connections over a miss', async () => {
    const fetcher = await at((_, response) =>
      response.writeHead(504, { 'Caje-Miss': '1' }).end('no'),
    );
    for (let i = 0; i < 20; i += 1) await fetcher.inChain(false).fetch(ask('/x'));
    // The next request may begin before the miss before it is read to its end.
    expect(server?.accepted).to.be.lessThanOrEqual(2);
  });

  it('passes end-to-end fields, Via and CDN-Loop, and no credentials', async () => {
    await says(
      {},
      BODY,
      ask('/x', [
        ['Accept', 'text/html'],
        ['Via', '1.1 caje-1'],
        ['CDN-Loop', 'caje-1'],
        ['Range', 'bytes=0-1'],
        ['Authorization', 'Bearer client'],
        ['Cookie', 'session=1'],
        ['Proxy-Authorization', 'Basic x'],
        ['X-Api-Key', 'key'],
        ['Caje-Target', 'http://evil.example/'],
        ['Caje-Fill', '0'],
        ['Host', 'evil.example'],
        ['Connection', 'close'],
      ]),
    );
    const raw = requests[0]?.rawHeaders.join('\n') ?? '';
    expect(raw).to.contain('text/html').and.contain('1.1 caje-1').and.contain('bytes=0-1');
    expect(requests[0]?.headers['cdn-loop']).to.equal('caje-1');
    expect(raw).not.to.match(/Bearer client|session=1|Basic x|key|evil|close|Caje-Fill\n0/);
  });

  it('gives the stored answer with a digest known from the head', async () => {
    const fetched = await says({
      'Content-Type': 'text/plain',
      Age: '7',
      'Content-Length': String(BODY.length),
      'Repr-Digest': DIGEST,
    });
    expect(await fetched.promisedDigest).to.equal(SHA256);
    expect(fetched.headers.without('date').toRaw()).to.deep.equal([
      'Content-Type',
      'text/plain',
      'Age',
      '7',
      'Content-Length',
      String(BODY.length),
    ]);
    expect(await readText(fetched)).to.deep.equal([200, BODY]);
  });

  it('gives the body while the peer still fills, the digest from the trailer', async () => {
    const fetcher = await at((_, response) => {
      response.writeHead(200, {
        'Caje-Status': '200',
        'Caje-Size': BODY.length,
        Trailer: 'Repr-Digest',
      });
      response.write(BODY.slice(0, 3));
      setImmediate(() => {
        response.addTrailers({ 'Repr-Digest': DIGEST });
        response.end(BODY.slice(3));
      });
    });
    const fetched = await fetcher.fetch(ask('/x'));
    expect(fetched.headers.get('content-length')).to.equal(String(BODY.length));
    expect(fetched.headers.has('trailer')).to.equal(false);
    expect(await readText(fetched)).to.deep.equal([200, BODY]);
    expect(await fetched.promisedDigest).to.equal(SHA256);
  });

  for (const size of [BODY.length - 1, BODY.length + 1]) {
    it(`errors a chunked body of ${BODY.length} bytes announced with ${size}`, async () => {
      const fetcher = await at((_, response) => {
        response.writeHead(200, { 'Caje-Status': '200', 'Caje-Size': size });
        response.write(BODY);
        setImmediate(() => response.end());
      });
      const { body, promisedDigest } = await fetcher.fetch(ask('/x'));
      await failure(read(body), 'upstream');
      expect(await promisedDigest).to.equal(undefined);
    });
  }

  it('promises nothing when the body is cut', async () => {
    const fetcher = await at((_, response) => {
      response.writeHead(200, { 'Caje-Status': '200', Trailer: 'Repr-Digest' });
      response.write(BODY, () => response.destroy());
    });
    const { body, promisedDigest } = await fetcher.fetch(ask('/x'));
    await failure(read(body), 'upstream');
    expect(await promisedDigest).to.equal(undefined);
  });

  it('gives the length for HEAD though no body comes', async () => {
    const fetched = await says({ 'Caje-Size': '99' }, '', ask('/x', [], { method: 'HEAD' }));
    expect(requests[0]?.headers['caje-method']).to.equal('HEAD');
    expect(fetched.headers.getAll('content-length')).to.deep.equal(['99']);
    expect(await readText(fetched)).to.deep.equal([200, '']);
  });

  for (const status of ['404', '410', '302', '500']) {
    it(`gives a stored ${status} as an answer`, async () => {
      const fetched = await says({ 'Caje-Status': status }, 'text');
      expect(fetched.miss).to.equal(undefined);
      expect(await readText(fetched)).to.deep.equal([Number(status), 'text']);
    });
  }

  const refusals = [
    [401, {}, 'upstream', 'peer refused our token'],
    [403, {}, 'upstream', 'answered 403'],
    [404, {}, 'upstream', 'answered 404'],
    [500, {}, 'upstream', 'answered 500'],
    [502, { 'Caje-Status': '200' }, 'upstream', 'answered 502'],
    [503, { 'Retry-After': '7' }, 'unavailable', 'too busy'],
    [504, {}, 'timeout', 'timed out'],
    [508, {}, 'loop', 'came through it already'],
    [200, {}, 'upstream', 'not a caje node'],
    [200, { 'Caje-Status': 'x' }, 'upstream', 'not a caje node'],
    [200, { 'Caje-Status': '99' }, 'upstream', 'not a caje node'],
    [200, { 'Caje-Status': '206' }, 'upstream', '206 that was not asked for'],
    [200, { 'Caje-Status': '304' }, 'upstream', '304 that was not asked for'],
    [302, { Location: '/' }, 'upstream', 'answered 302'],
  ] as const;
  for (const [status, headers, kind, says] of refusals) {
    it(`fails as ${kind} on ${status} ${JSON.stringify(headers)}`, async () => {
      const fetcher = await at((_, response) => response.writeHead(status, headers).end('why'));
      const error = await failure(fetcher.fetch(ask('/x')), kind);
      expect(error.message).to.contain(says).and.contain('127.0.0.1:').and.not.contain('t0ken');
      if (status === 503) expect(error.retryAfter).to.equal(7);
    });
  }

  it('gives 206 to a range and 304 to a condition', async () => {
    const fetcher = await at((request, response) => {
      const status = request.headers.range === undefined ? '304' : '206';
      response.writeHead(200, { 'Caje-Status': status }).end(status === '206' ? 'bc' : '');
    });
    const part = await fetcher.fetch(ask('/x', [['Range', 'bytes=1-2']]));
    expect(await readText(part)).to.deep.equal([206, 'bc']);
    const same = await fetcher.fetch(ask('/x', [['If-None-Match', '"a"']]));
    expect(await readText(same)).to.deep.equal([304, '']);
  });

  it('gives up a look-up that takes longer than it may', async () => {
    const fetcher = await at(() => {}, { lookupMs: 50 });
    await failure(fetcher.inChain(false).fetch(ask('/x')), 'timeout');
  });

  it('gives a fill the time that an origin has', async () => {
    const fetcher = await at(
      (_, response) =>
        setTimeout(() => response.writeHead(200, { 'Caje-Status': '200' }).end('late'), 100),
      { lookupMs: 20 },
    );
    expect(await readText(await fetcher.fetch(ask('/x')))).to.deep.equal([200, 'late']);
  });

  it('asks for nothing but GET and HEAD', async () => {
    const fetcher = await at((_, response) => response.end());
    await failure(fetcher.fetch(ask('/x', [], { method: 'POST' })), 'unsupported');
    expect(requests).to.have.length(0);
  });

  it('cannot be made to send a second field by a public URL', async () => {
    const fetcher = await at((_, response) => response.end());
    const publicUrl = 'http://a.example/\r\nAuthorization: Bearer x';
    await failure(fetcher.fetch(ask('/x', [], { publicUrl })), 'invalid');
    expect(requests).to.have.length(0);
  });
});

describe('Repr-Digest', () => {
  it('is read from a list of digests', () => {
    expect(reprDigestToHex(`sha-512=:AAAA:, ${DIGEST}`)).to.equal(SHA256);
  });

  for (const value of [
    undefined,
    '',
    'sha-256=:AAAA:',
    'sha-256=abc',
    'sha-512=:AAAA:',
    '::',
    `sha-256="${SHA256}"`,
  ]) {
    it(`is absent in ${JSON.stringify(value)}`, () => {
      expect(reprDigestToHex(value)).to.equal(undefined);
    });
  }
});
