import { PassThrough, Readable } from 'node:stream';
import { expect } from 'chai';
import { request } from 'undici';
import { HeaderList } from '../../src/headers.ts';
import {
  answering,
  bytesContent,
  EDGE_NODE,
  protocolOf,
  respond,
  rule,
  startEdge,
  streamContent,
} from '../support/edge.ts';
import { rawConnect, rawExchange } from '../support/raw-http.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

describe('how an answer is sent', () => {
  it('keeps fields in their order and case, and adds its own behind them (P8)', async () => {
    const headers = new HeaderList([
      ['DATE', 'Mon, 02 Nov 2026 10:00:00 GMT'],
      ['x-Odd', '1'],
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['Connection', 'X-Hop'],
      ['X-Hop', '1'],
      ['Keep-Alive', 'timeout=3'],
      ['Proxy-Authenticate', 'x'],
      ['TE', 'trailers'],
      ['Via', '1.1 other'],
      ['Age', '7'],
    ]);
    const report = { phase: 'hit', ttl: 53.9 } as const;
    await using edge = await startEdge({
      rules: [rule(answering({ headers, report, content: bytesContent('body') }))],
    });
    const { text } = await rawExchange(edge.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', /body$/);
    expect(text.split('\r\n')).to.deep.equal([
      'HTTP/1.1 200 OK',
      'DATE: Mon, 02 Nov 2026 10:00:00 GMT',
      'x-Odd: 1',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
      `Via: 1.1 other, 1.1 ${EDGE_NODE}`,
      'Age: 7',
      'Cache-Status: caje;hit;ttl=53',
      'X-Cache: HIT',
      'Content-Length: 4',
      '',
      'body',
    ]);
  });

  it('adds a Date where the origin sent none', async () => {
    await using edge = await startEdge();
    const { text } = await rawExchange(edge.port, GET);
    expect(text).to.match(/^Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r$/m);
  });

  const reports = [
    [
      { phase: 'miss', forward: 'uri-miss', forwardStatus: 200, stored: true, collapsed: true },
      'caje;fwd=uri-miss;fwd-status=200;stored;collapsed',
      'MISS',
    ],
    [{ phase: 'stale', ttl: -5 }, 'caje;hit;ttl=-5', 'STALE'],
    [
      { phase: 'stale', forward: 'stale', forwardStatus: 503, detail: 'down again' },
      'caje;fwd=stale;fwd-status=503;detail="down again"',
      'STALE',
    ],
    [
      { phase: 'revalidated', forward: 'stale', forwardStatus: 304 },
      'caje;fwd=stale;fwd-status=304',
      'REVALIDATED',
    ],
    [{ phase: 'bypass', forward: 'method' }, 'caje;fwd=method', 'BYPASS'],
    [{ phase: 'hit', key: 'http://a/"é' }, 'caje;hit;key="http://a/\\"?"', 'HIT'],
    [
      { phase: 'bypass', detail: 'NETWORK-OFFLINE' },
      'caje;fwd=bypass;detail=NETWORK-OFFLINE',
      'BYPASS',
    ],
  ] as const;
  for (const [report, status, xCache] of reports) {
    it(`says ${xCache} and ${status} (P22)`, async () => {
      const headers = new HeaderList([
        ['Cache-Status', 'far;hit'],
        ['X-Cache', 'HIT from far'],
      ]);
      await using edge = await startEdge({ rules: [rule(answering({ headers, report }))] });
      const answer = await request(edge.url);
      await answer.body.dump();
      expect(answer.headers['cache-status']).to.deep.equal(['far;hit', status]);
      expect(answer.headers['x-cache']).to.equal(xCache);
    });
  }

  it('drops a Cache-Status from before that does not parse', async () => {
    const headers = new HeaderList([['Cache-Status', 'far; hit="']]);
    await using edge = await startEdge({ rules: [rule(answering({ headers }))] });
    const answer = await request(edge.url);
    await answer.body.dump();
    expect(answer.headers['cache-status']).to.equal('caje;hit');
  });

  it('answers HEAD with the fields of GET, opens no body and closes the content (P15)', async () => {
    let closed = 0;
    const content = bytesContent('body', {
      open: () => {
        throw new Error('opened');
      },
      close: () => {
        closed += 1;
      },
    });
    await using edge = await startEdge({ rules: [rule(answering({ content }))] });
    const { text } = await rawExchange(edge.port, GET.replace('GET', 'HEAD'));
    expect(text).to.match(/\r\nContent-Length: 4\r\n/);
    expect(text.endsWith('\r\n\r\n')).to.equal(true);
    expect(closed).to.equal(1);
  });

  it('leaves the length of a HEAD that was passed on as it came', async () => {
    const headers = new HeaderList([['Content-Length', '1234']]);
    await using edge = await startEdge({ rules: [rule(answering({ headers }))] });
    const { text } = await rawExchange(edge.port, GET.replace('GET', 'HEAD'));
    expect(text).to.match(/\r\nContent-Length: 1234\r\n/);
  });

  it('sends 204 and 304 without a body or a length', async () => {
    for (const status of [204, 304]) {
      await using edge = await startEdge({ rules: [rule(answering({ status }))] });
      const { text } = await rawExchange(edge.port, GET);
      expect(text).to.match(new RegExp(`^HTTP/1.1 ${status} `));
      expect(text).not.to.match(/Content-Length|Transfer-Encoding/);
      expect(text.endsWith('\r\n\r\n')).to.equal(true);
    }
  });

  it('sends bytes as received, whatever their coding (P19)', async () => {
    const bytes = Buffer.from([0x1f, 0x8b, 0, 255, 13, 10]);
    const headers = new HeaderList([['Content-Encoding', 'gzip']]);
    await using edge = await startEdge({
      rules: [rule(answering({ headers, content: bytesContent(bytes, { bytes }) }))],
    });
    const answer = await request(edge.url);
    expect(Buffer.from(await answer.body.arrayBuffer()).equals(bytes)).to.equal(true);
    expect(answer.headers['content-encoding']).to.equal('gzip');
    expect(answer.headers['content-length']).to.equal('6');
  });

  it('streams a body of unknown length in chunks, its fields first', async () => {
    const body = new PassThrough();
    await using edge = await startEdge({
      rules: [rule(answering({ content: streamContent(() => body) }))],
    });
    const answer = await request(edge.url);
    expect(answer.headers['transfer-encoding']).to.equal('chunked');
    body.end('late');
    expect(await answer.body.text()).to.equal('late');
  });

  it('reads a body no faster than its client takes it', async () => {
    let read = 0;
    const chunk = Buffer.alloc(64 * 1024);
    const body = new Readable({
      read() {
        read += chunk.length;
        this.push(read > 64 * 1024 * 1024 ? null : chunk);
      },
    });
    const begun = Promise.withResolvers<void>();
    const open = (): Readable => {
      begun.resolve();
      return body;
    };
    const protocol = protocolOf(async () => respond({ content: streamContent(open) }));
    await using edge = await startEdge({ rules: [rule(protocol)] });
    const socket = await rawConnect(edge.port);
    socket.pause();
    socket.write(GET);
    await begun.promise;
    await Promise.race([
      new Promise((resolve) => body.once('pause', resolve)),
      new Promise((resolve) => body.once('end', resolve)),
    ]);
    expect(read).to.be.lessThan(32 * 1024 * 1024);
    socket.destroy();
  });
});
