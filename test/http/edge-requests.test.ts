import { expect } from 'chai';
import { request } from 'undici';
import { ProxyError } from '../../src/errors.ts';
import type { ProtocolRequest } from '../../src/protocol/protocol.ts';
import {
  answering,
  bytesContent,
  EDGE_NODE,
  protocolOf,
  recording,
  rule,
  startEdge,
} from '../support/edge.ts';
import { rawExchange } from '../support/raw-http.ts';

describe('what a protocol is told of a request', () => {
  it('gets end-to-end fields in order, and the forwarding fields apart (P21, H-55, H-57)', async () => {
    const asked: ProtocolRequest[] = [];
    await using edge = await startEdge({ rules: [rule(recording(asked))] });
    await rawExchange(
      edge.port,
      [
        'GET /a/../b?c=%2F HTTP/1.1',
        'Host: WWW.Example.com:80',
        'X-b: 1',
        'x-A: 2',
        'Connection: close, X-Hop, Keep-Alive',
        'X-HOP: 1',
        'Keep-Alive: 5',
        'TE: trailers',
        'Proxy-Connection: x',
        'Proxy-Authorization: y',
        'X-Forwarded-For: 6.6.6.6',
        'X-Forwarded-Proto: https',
        'X-Forwarded-Host: evil',
        'Forwarded: for=6.6.6.6',
        'X-Original-URL: /admin',
        'Via: 1.1 far',
        'CDN-Loop: far; x="1,2"',
        '',
        '',
      ].join('\r\n'),
    );
    const [got] = asked;
    expect(got?.headers.lines).to.deep.equal([
      ['X-b', '1'],
      ['x-A', '2'],
    ]);
    expect(got?.publicUrl).to.equal('http://www.example.com/a/../b?c=%2F');
    expect(got?.host).to.equal('www.example.com');
    expect(got?.target).to.equal('/a/../b?c=%2F');
    expect(got?.body).to.equal(undefined);
    expect(got?.forwarding.lines).to.deep.equal([
      ['Via', `1.1 far, 1.1 ${EDGE_NODE}`],
      ['CDN-Loop', `far; x="1,2", ${EDGE_NODE}`],
      ['X-Forwarded-For', '127.0.0.1'],
      ['X-Forwarded-Proto', 'http'],
      ['X-Forwarded-Host', 'www.example.com'],
      ['Forwarded', 'for=127.0.0.1;host=www.example.com;proto=http'],
    ]);
  });

  it('believes a trusted proxy and appends to what it says', async () => {
    const asked: ProtocolRequest[] = [];
    await using edge = await startEdge({
      rules: [rule(recording(asked))],
      trustedProxies: ['127.0.0.0/8'],
    });
    await rawExchange(
      edge.port,
      'GET / HTTP/1.1\r\nHost: a:8080\r\nConnection: close\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: pub\r\nForwarded: for=9.9.9.9\r\n\r\n',
    );
    expect(asked[0]?.publicUrl).to.equal('https://a:8080/');
    expect(asked[0]?.forwarding.get('X-Forwarded-For')).to.equal('9.9.9.9, 127.0.0.1');
    expect(asked[0]?.forwarding.get('X-Forwarded-Proto')).to.equal('https');
    expect(asked[0]?.forwarding.get('X-Forwarded-Host')).to.equal('pub');
    expect(asked[0]?.forwarding.get('Forwarded')).to.equal(
      'for=9.9.9.9, for=127.0.0.1;host="a:8080";proto=https',
    );
  });

  it('does not let a Connection list take away what matters (H-56)', async () => {
    const asked: ProtocolRequest[] = [];
    await using edge = await startEdge({ rules: [rule(recording(asked))] });
    const names = [
      'Host',
      'Authorization',
      'Cookie',
      'X-Forwarded-For',
      'CDN-Loop',
      'Cache-Control',
      'Range',
    ];
    await rawExchange(
      edge.port,
      `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: b\r\nCookie: c\r\nCache-Control: d\r\nRange: e\r\nConnection: close, ${names.join(', ')}\r\n\r\n`,
    );
    expect(asked[0]?.headers.lines.map(([name]) => name)).to.deep.equal([
      'Authorization',
      'Cookie',
      'Cache-Control',
      'Range',
    ]);
    expect(asked[0]?.forwarding.get('CDN-Loop')).to.equal(EDGE_NODE);
    expect(asked[0]?.forwarding.get('X-Forwarded-For')).to.equal('127.0.0.1');
  });

  const node = (n: number): string => `caje-000000000000000${n}`;
  const loops: readonly (readonly [string, string])[] = [
    ['Via', `1.1 ${EDGE_NODE}`],
    ['Via', `1.0 far, HTTP/1.1 ${EDGE_NODE.toUpperCase()} (caje)`],
    ['CDN-Loop', EDGE_NODE],
    ['CDN-Loop', `far, ${EDGE_NODE}; x=1`],
    ['CDN-Loop', `${node(1)}, ${node(2)}, ${node(3)}`],
    ['Via', `1.1 ${node(1)}, 1.1 ${node(2)}, 1.1 ${node(3)}`],
  ];
  for (const [name, value] of loops) {
    it(`refuses ${name}: ${value} with 508 without asking the protocol (H-75, H-76)`, async () => {
      const asked: ProtocolRequest[] = [];
      await using edge = await startEdge({ rules: [rule(recording(asked))] });
      const answer = await request(edge.url, { headers: { [name]: value } });
      await answer.body.dump();
      expect(answer.statusCode).to.equal(508);
      expect(asked).to.deep.equal([]);
      expect(edge.metrics.value('loops_total')).to.equal(1);
    });
  }

  it('passes on what came through two other nodes', async () => {
    await using edge = await startEdge();
    const answer = await request(edge.url, { headers: { 'cdn-loop': `${node(1)}, ${node(2)}` } });
    await answer.body.dump();
    expect(answer.statusCode).to.equal(200);
  });
});

describe('which rule answers', () => {
  const named = (name: string, more: object) =>
    rule(answering({ content: bytesContent(name) }), { name, ...more });
  const seen: string[] = [];
  const stripping = protocolOf(async ({ target }) => {
    seen.push(target);
    throw new ProxyError('gone', 'test', 'seen');
  });
  const rules = [
    rule(stripping, { name: 'go', host: 'www.example.com', path: '/go/*', strip: true }),
    named('exact', { host: 'www.example.com', path: '/exact' }),
    named('port', { host: 'port.example.com:81' }),
    named('suffix', { host: '*.example.com', path: '/sub/*' }),
  ];
  const get = async (host: string, path: string): Promise<[number, string]> => {
    await using edge = await startEdge({ rules });
    const answer = await request(`${edge.url}${path}`, { headers: { host } });
    return [answer.statusCode, await answer.body.text()];
  };

  it('takes the first that fits, by host and path', async () => {
    expect(await get('www.example.com', '/exact?q')).to.deep.equal([200, 'exact']);
    expect(await get('WWW.EXAMPLE.COM:8080', '/exact')).to.deep.equal([200, 'exact']);
    expect(await get('a.b.example.com', '/sub/')).to.deep.equal([200, 'suffix']);
    expect(await get('port.example.com:81', '/x')).to.deep.equal([200, 'port']);
  });

  it('answers 421 to an unknown host and 404 to a path of no rule (P14)', async () => {
    expect((await get('example.com', '/sub/'))[0]).to.equal(421);
    expect((await get('other', '/'))[0]).to.equal(421);
    expect((await get('www.example.com', '/exact/more'))[0]).to.equal(404);
    expect((await get('www.example.com', '/go'))[0]).to.equal(404);
  });

  it('strips a prefix, not its last slash', async () => {
    await get('www.example.com', '/go/example.com/@v/list?x=/go/');
    expect(seen).to.deep.equal(['/example.com/@v/list?x=/go/']);
  });

  it('keeps its own paths from every rule', async () => {
    await using edge = await startEdge();
    for (const [path, status] of [
      ['/_caje/healthz', 200],
      ['/_caje/readyz', 200],
      ['/_caje/version', 200],
      ['/_caje/else', 404],
      ['/_caje', 404],
    ] as const) {
      const answer = await request(`${edge.url}${path}`);
      await answer.body.dump();
      expect(answer.statusCode, path).to.equal(status);
    }
  });

  it('is not ready, and says why, while a part of it is not (C2)', async () => {
    const health = [
      { name: 'storage local', health: async () => ({ problem: 'read-only' }) },
      { name: 'manifest', health: async () => ({}) },
    ];
    await using edge = await startEdge({ health });
    const ready = await request(`${edge.url}/_caje/readyz`);
    expect(ready.statusCode).to.equal(503);
    expect(await ready.body.json()).to.deep.equal({
      status: 'not ready',
      reasons: [{ name: 'storage local', problem: 'read-only' }],
    });
    const healthy = await request(`${edge.url}/_caje/healthz`);
    await healthy.body.dump();
    expect(healthy.statusCode).to.equal(200);
  });
});
