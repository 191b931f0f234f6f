import { createHash } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { expect } from 'chai';
import { request } from 'undici';
import { ProxyError } from '../../src/errors.ts';
import { PEER_RESOURCE_PATH } from '../../src/fetchers/peer-protocol.ts';
import { HeaderList } from '../../src/headers.ts';
import { peerToken } from '../../src/http/peer-tokens.ts';
import type { Rule } from '../../src/http/rule-router.ts';
import type { Protocol, ProtocolRequest } from '../../src/protocol/protocol.ts';
import { bytesContent, EDGE_NODE, respond, streamContent } from '../support/edge.ts';
import { startPeer, PEER_TOKEN as TOKEN } from '../support/peer-edge.ts';

const BODY = 'the body';
const DIGEST = createHash('sha256').update(BODY).digest();

describe('what peers are told', () => {
  it('is nothing without a token of theirs, but whether the node lives (H-101)', async () => {
    let asked = 0;
    await using peer = await startPeer(async () => {
      asked += 1;
      return respond({});
    });
    const forms = [
      undefined,
      '',
      'Bearer',
      'Bearer wrong-token-0123456789',
      `Basic ${TOKEN}`,
      `Bearer ${TOKEN}x`,
      TOKEN,
    ];
    for (const path of [PEER_RESOURCE_PATH, '/_caje/else', '/']) {
      for (const authorization of forms) {
        const answer = await request(`${peer.url}${path}`, {
          headers: {
            'caje-target': 'http://www.example.com/',
            ...(authorization !== undefined && { authorization }),
          },
        });
        const problem = (await answer.body.json()) as { code: string };
        expect(answer.statusCode).to.equal(401);
        expect(problem.code).to.equal('unauthorized');
      }
    }
    expect(asked).to.equal(0);
    expect(peer.metrics.value('peer_refused_total')).to.equal(3 * forms.length);
    for (const path of ['healthz', 'readyz', 'version']) {
      const answer = await request(`${peer.url}/_caje/${path}`);
      await answer.body.dump();
      expect(answer.statusCode).to.equal(200);
    }
  });

  it('is a kept answer with its status, age, length and digest', async () => {
    const asked: ProtocolRequest[] = [];
    await using peer = await startPeer(async (got) => {
      asked.push(got);
      return respond({
        status: 404,
        headers: new HeaderList([
          ['X-Own', '1'],
          ['Age', '12'],
          ['Connection', 'x'],
        ]),
        content: bytesContent(BODY, { digest: DIGEST.toString('hex') }),
      });
    });
    const answer = await peer.ask('http://WWW.example.com:80/a?b=%2F', {
      accept: 'text/html',
      'x-forwarded-for': '9.9.9.9',
    });
    expect(await answer.body.text()).to.equal(BODY);
    expect(answer.statusCode).to.equal(200);
    expect(answer.headers).to.include({
      'caje-status': '404',
      age: '12',
      'x-own': '1',
      'content-length': String(BODY.length),
      'repr-digest': `sha-256=:${DIGEST.toString('base64')}:`,
    });
    const [got] = asked;
    expect(got).to.include({
      method: 'GET',
      publicUrl: 'http://www.example.com/a?b=%2F',
      target: '/a?b=%2F',
      onlyIfCached: true,
    });
    expect(got?.headers.lines.map(([name]) => name)).to.deep.equal(['accept']);
    expect(got?.forwarding.get('X-Forwarded-For')).to.equal('9.9.9.9, 127.0.0.1');
  });

  it('grows while it is being filled, with its digest in the trailer', async () => {
    const body = new PassThrough();
    const sealedDigest = Promise.withResolvers<string | undefined>();
    await using peer = await startPeer(async () =>
      respond({
        report: { phase: 'miss' },
        content: streamContent(() => body, {
          size: BODY.length,
          sealedDigest: sealedDigest.promise,
        }),
      }),
    );
    const answer = await peer.ask('http://www.example.com/', {
      'cache-control': '',
      'caje-fill': '1',
    });
    expect(answer.headers).to.include({
      'caje-status': '200',
      'caje-size': String(BODY.length),
      trailer: 'Repr-Digest',
      'transfer-encoding': 'chunked',
    });
    expect(answer.headers['content-length']).to.equal(undefined);
    body.end(BODY);
    sealedDigest.resolve(DIGEST.toString('hex'));
    expect(await answer.body.text()).to.equal(BODY);
    expect(answer.trailers).to.deep.equal({
      'repr-digest': `sha-256=:${DIGEST.toString('base64')}:`,
    });
  });

  it('is cut when the body turns out damaged at its end', async () => {
    await using peer = await startPeer(async () =>
      respond({
        report: { phase: 'miss' },
        content: streamContent(() => Readable.from([Buffer.from(BODY)]), {
          sealedDigest: Promise.reject(new ProxyError('integrity', 'test', 'bad')),
        }),
      }),
    );
    const answer = await peer.ask('http://www.example.com/', {
      'cache-control': '',
      'caje-fill': '1',
    });
    expect(await answer.body.text().catch(() => 'cut')).to.equal('cut');
  });

  const misses: readonly (readonly [string, Protocol['handle'], Partial<Rule>, string])[] = [
    [
      'is not kept',
      async () => await Promise.reject(new ProxyError('timeout', 'test', 'not kept')),
      {},
      'http://www.example.com/',
    ],
    [
      'would have been fetched',
      async () => respond({ report: { phase: 'miss' } }),
      {},
      'http://www.example.com/',
    ],
    [
      'belongs to a private rule',
      async () => respond({}),
      { private: true },
      'http://www.example.com/',
    ],
    ['belongs to no rule', async () => respond({}), {}, 'http://other.example.com/'],
  ];
  for (const [name, handle, more, target] of misses) {
    it(`is a miss for what ${name}`, async () => {
      await using peer = await startPeer(handle, more);
      const answer = await peer.ask(target);
      await answer.body.dump();
      expect(answer.statusCode).to.equal(504);
      expect(answer.headers['caje-miss']).to.equal('1');
    });
  }

  it('is 508 for a request that came from here, also when only what is kept is wanted (F10)', async () => {
    await using peer = await startPeer(async () => respond({}));
    const answer = await peer.ask('http://www.example.com/', { 'cdn-loop': EDGE_NODE });
    await answer.body.dump();
    expect(answer.statusCode).to.equal(508);
    expect(answer.headers['caje-miss']).to.equal(undefined);
  });

  it('is the error of a fill, not a miss', async () => {
    await using peer = await startPeer(
      async () => await Promise.reject(new ProxyError('timeout', 'test', 'slow origin')),
    );
    const answer = await peer.ask('http://www.example.com/', { 'caje-fill': '1' });
    await answer.body.dump();
    expect(answer.statusCode).to.equal(504);
    expect(answer.headers['caje-miss']).to.equal(undefined);
  });

  it('has no body for HEAD, and none for a peer that has the tag already', async () => {
    await using peer = await startPeer(async () =>
      respond({
        headers: new HeaderList([['ETag', '"1"']]),
        selectable: true,
        content: bytesContent(BODY),
      }),
    );
    const head = await peer.ask('http://www.example.com/', { 'caje-method': 'HEAD' });
    expect(await head.body.text()).to.equal('');
    expect(head.headers).to.include({
      'caje-status': '200',
      'caje-size': String(BODY.length),
      'content-length': '0',
    });
    const known = await peer.ask('http://www.example.com/', { 'if-none-match': '"1"' });
    expect(await known.body.text()).to.equal('');
    expect(known.headers).to.include({ 'caje-status': '304', etag: '"1"' });
  });

  for (const target of [
    '',
    '/path',
    'ftp://www.example.com/',
    'http://u@www.example.com/',
    'http://www.example.com/#x',
  ]) {
    it(`is 400 for the target "${target}"`, async () => {
      await using peer = await startPeer(async () => respond({}));
      const answer = await peer.ask(target);
      await answer.body.dump();
      expect(answer.statusCode).to.equal(400);
    });
  }

  it('is the part that a peer asks for, or that there is none', async () => {
    await using peer = await startPeer(async () =>
      respond({
        selectable: true,
        content: bytesContent(BODY, { digest: DIGEST.toString('hex') }),
      }),
    );
    const part = await peer.ask('http://www.example.com/', { range: 'bytes=4-5' });
    expect(await part.body.text()).to.equal('bo');
    expect(part.headers).to.include({
      'caje-status': '206',
      'content-range': 'bytes 4-5/8',
      'content-length': '2',
    });
    expect(part.headers['repr-digest']).to.equal(undefined);
    const none = await peer.ask('http://www.example.com/', { range: 'bytes=99-' });
    expect(await none.body.text()).to.equal('');
    expect(none.headers).to.include({ 'caje-status': '416', 'content-range': 'bytes */8' });
  });

  it('refuses a token that could be guessed', () => {
    expect(() => peerToken('n3', 'short')).to.throw(ProxyError, /at least 16 characters/);
    expect(() => peerToken('n3', 'a passphrase with spaces')).to.throw(ProxyError, /visible ASCII/);
  });
});
