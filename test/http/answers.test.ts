import { createHash } from 'node:crypto';
import { PassThrough, Readable } from 'node:stream';
import { expect } from 'chai';
import { request } from 'undici';
import { ProxyError } from '../../src/errors.ts';
import { HeaderList } from '../../src/headers.ts';
import { answering, bytesContent, EDGE_NODE, protocolOf, respond, rule, startEdge, streamContent } from '../support/edge.ts';
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
    await using edge = await startEdge({ rules: [rule(answering({ headers, report, content: bytesContent('body') }))] });
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
    [{ phase: 'miss', forward: 'uri-miss', forwardStatus: 200, stored: true, collapsed: true }, 'caje;fwd=uri-miss;fwd-status=200;stored;collapsed', 'MISS'],
    [{ phase: 'stale', ttl: -5 }, 'caje;hit;ttl=-5', 'STALE'],
    [{ phase: 'stale', forward: 'stale', forwardStatus: 503, detail: 'down again' }, 'caje;fwd=stale;fwd-status=503;detail="down again"', 'STALE'],
    [{ phase: 'revalidated', forward: 'stale', forwardStatus: 304 }, 'caje;fwd=stale;fwd-status=304', 'REVALIDATED'],
    [{ phase: 'bypass', forward: 'method' }, 'caje;fwd=method', 'BYPASS'],
    [{ phase: 'bypass', detail: 'NETWORK-OFFLINE' }, 'caje;fwd=bypass;detail=NETWORK-OFFLINE', 'BYPASS'],
  ] as const;
  for (const [report, status, xCache] of reports) {
    it(`says ${xCache} and ${status} (P22)`, async () => {
      const headers = new HeaderList([['Cache-Status', 'far;hit'], ['X-Cache', 'HIT from far']]);
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
    await using edge = await startEdge({ rules: [rule(answering({ headers, content: bytesContent(bytes, { bytes }) }))] });
    const answer = await request(edge.url);
    expect(Buffer.from(await answer.body.arrayBuffer()).equals(bytes)).to.equal(true);
    expect(answer.headers['content-encoding']).to.equal('gzip');
    expect(answer.headers['content-length']).to.equal('6');
  });

  it('streams a body of unknown length in chunks, its fields first', async () => {
    const body = new PassThrough();
    await using edge = await startEdge({ rules: [rule(answering({ content: streamContent(() => body) }))] });
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
    const protocol = protocolOf(async () => respond({ content: streamContent(() => (begun.resolve(), body)) }));
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

describe('an answer that cannot be whole', () => {
  const cases = [
    ['shorter than announced (N-06, H-25)', () => streamContent(() => Readable.from([Buffer.from('12345')]), { size: 10 })],
    ['longer than announced', () => streamContent(() => Readable.from([Buffer.from('123456789012345')]), { size: 10 })],
    ['that fails half way', () => streamContent(() => failing('12345'), { size: 10 })],
    ['of unknown length that fails half way', () => streamContent(() => failing('12345'))],
    ['that is destroyed without an error', () => streamContent(() => vanishing('12345'))],
  ] as const;
  for (const [name, content] of cases) {
    it(`cuts the connection for a body ${name}, and never sends a byte too many`, async () => {
      const asked: string[] = [];
      const protocol = protocolOf(async ({ target }) => {
        asked.push(target);
        return respond({ content: content() });
      });
      await using edge = await startEdge({ rules: [rule(protocol)] });
      const two = 'GET /1 HTTP/1.1\r\nHost: a\r\n\r\n';
      const { text, closed } = await rawExchange(edge.port, two);
      expect(closed).to.equal(true);
      expect(text).not.to.match(/0\r\n\r\n$/);
      const body = text.slice(text.indexOf('\r\n\r\n') + 4);
      if (text.includes('Content-Length')) expect(body.length).to.be.lessThan(10);
      expect(edge.metrics.value('request_errors_total')).to.equal(1);
    });
  }

  it('resets an HTTP/1.0 connection, whose clean end would read as the whole body', async () => {
    await using edge = await startEdge({ rules: [rule(answering({ content: streamContent(() => failing('12345')) }))] });
    const { reset } = await rawExchange(edge.port, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n');
    expect(reset).to.equal(true);
  });

  it('aborts the request and destroys the body when the client leaves', async () => {
    const body = new PassThrough();
    const aborted = Promise.withResolvers<unknown>();
    const destroyed = new Promise((resolve) => body.once('close', resolve));
    const protocol = protocolOf(async (_request, { signal }) => {
      signal?.addEventListener('abort', () => aborted.resolve(signal.reason));
      return respond({ content: streamContent(() => body) });
    });
    await using edge = await startEdge({ rules: [rule(protocol)] });
    const socket = await rawConnect(edge.port);
    socket.write(GET);
    body.write('begun');
    await new Promise((resolve) => socket.once('data', resolve));
    socket.destroy();
    expect(((await aborted.promise) as ProxyError).kind).to.equal('aborted');
    await destroyed;
    expect(edge.metrics.value('clients_gone_total')).to.equal(1);
    expect(edge.metrics.value('request_errors_total')).to.equal(0);
  });

  function failing(text: string): Readable {
    return Readable.from(
      (async function* () {
        yield Buffer.from(text);
        await new Promise((resolve) => setImmediate(resolve));
        throw new ProxyError('integrity', 'test', 'cut');
      })(),
    );
  }

  function vanishing(text: string): Readable {
    const body = new PassThrough();
    body.write(text);
    setImmediate(() => setImmediate(() => body.destroy()));
    return body;
  }
});

describe('conditions and ranges of a stored answer', () => {
  const text = 'abcdefghijklmnopqrstuvwxyz';
  const headers = new HeaderList([
    ['ETag', '"v1"'],
    ['Last-Modified', 'Sun, 01 Nov 2026 10:00:00 GMT'],
    ['Date', 'Mon, 02 Nov 2026 10:00:00 GMT'],
    ['Cache-Control', 'max-age=60'],
    ['Content-Type', 'text/plain'],
    ['Age', '3'],
  ]);
  const stored = rule(protocolOf(async () => respond({ headers, content: bytesContent(text), selectable: true })));

  const notModified: readonly (readonly [string, Record<string, string>, number])[] = [
    ['a matching tag', { 'if-none-match': '"v1"' }, 304],
    ['a weak form of the tag', { 'if-none-match': 'W/"v1"' }, 304],
    ['a list with the tag', { 'if-none-match': '"a,b", W/"v1"' }, 304],
    ['any tag', { 'if-none-match': '*' }, 304],
    ['another tag', { 'if-none-match': '"v2"' }, 200],
    ['another tag beside a date that would fit', { 'if-none-match': '"v2"', 'if-modified-since': 'Sun, 01 Nov 2026 10:00:00 GMT' }, 200],
    ['the date', { 'if-modified-since': 'Sun, 01 Nov 2026 10:00:00 GMT' }, 304],
    ['the date in its oldest form', { 'if-modified-since': 'Sun Nov  1 10:00:00 2026' }, 304],
    ['an earlier date', { 'if-modified-since': 'Sun, 01 Nov 2026 09:59:59 GMT' }, 200],
    ['no date at all', { 'if-modified-since': 'yesterday' }, 200],
  ];
  for (const [name, fields, status] of notModified) {
    it(`answers ${status} to ${name}`, async () => {
      await using edge = await startEdge({ rules: [stored] });
      const answer = await request(edge.url, { headers: fields });
      expect(answer.statusCode).to.equal(status);
      expect(await answer.body.text()).to.equal(status === 304 ? '' : text);
    });
  }

  it('sends with a 304 what a cache needs to go on, and nothing of the body', async () => {
    await using edge = await startEdge({ rules: [stored] });
    const answer = await request(edge.url, { headers: { 'if-none-match': '"v1"' } });
    await answer.body.dump();
    expect(Object.keys(answer.headers).sort()).to.deep.equal(['age', 'cache-control', 'cache-status', 'date', 'etag', 'via', 'x-cache']);
  });

  const ranges: readonly (readonly [string, number, string, string | undefined])[] = [
    ['bytes=0-3', 206, 'abcd', 'bytes 0-3/26'],
    ['bytes=23-', 206, 'xyz', 'bytes 23-25/26'],
    ['bytes=-2', 206, 'yz', 'bytes 24-25/26'],
    ['bytes=-100', 206, text, 'bytes 0-25/26'],
    ['bytes=24-100', 206, 'yz', 'bytes 24-25/26'],
    ['bytes=0-2,2-4', 206, 'abcde', 'bytes 0-4/26'],
    ['BYTES=0-0', 206, 'a', 'bytes 0-0/26'],
    ['bytes=26-', 416, '', 'bytes */26'],
    ['bytes=-0', 416, '', 'bytes */26'],
    ['bytes=99999999999999999999-', 416, '', 'bytes */26'],
    ['bytes=5-2', 200, text, undefined],
    ['bytes=x-y', 200, text, undefined],
    ['bytes=', 200, text, undefined],
    ['lines=0-3', 200, text, undefined],
    [`bytes=${Array.from({ length: 11 }, (_, i) => `${i * 2}-${i * 2}`).join(',')}`, 200, text, undefined],
  ];
  for (const [field, status, body, contentRange] of ranges) {
    it(`answers ${status} to ${field} (P16, H-84, H-85)`, async () => {
      await using edge = await startEdge({ rules: [stored] });
      const answer = await request(edge.url, { headers: { range: field } });
      expect(answer.statusCode).to.equal(status);
      expect(answer.headers['content-range']).to.equal(contentRange);
      const got = await answer.body.text();
      if (status !== 416) expect(got).to.equal(body);
      if (status === 200) expect(answer.headers['accept-ranges']).to.equal('bytes');
    });
  }

  it('sends several ranges as one multipart message of the announced length', async () => {
    await using edge = await startEdge({ rules: [stored] });
    const answer = await request(edge.url, { headers: { range: 'bytes=20-21, 0-1, -1' } });
    const boundary = /^multipart\/byteranges; boundary=(.+)$/.exec(String(answer.headers['content-type']))?.[1] ?? '';
    const body = await answer.body.text();
    expect(answer.statusCode).to.equal(206);
    expect(Number(answer.headers['content-length'])).to.equal(body.length);
    const part = (range: string, bytes: string): string =>
      `\r\n--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes ${range}/26\r\n\r\n${bytes}`;
    expect(body).to.equal(`${part('20-21', 'uv')}${part('0-1', 'ab')}${part('25-25', 'z')}\r\n--${boundary}--\r\n`);
  });

  const ifRange: readonly (readonly [string, number])[] = [
    ['"v1"', 206],
    ['W/"v1"', 200],
    ['"v2"', 200],
    ['Sun, 01 Nov 2026 10:00:00 GMT', 206],
    ['Sun, 01 Nov 2026 10:00:01 GMT', 200],
  ];
  for (const [validator, status] of ifRange) {
    it(`answers ${status} to a range if ${validator}`, async () => {
      await using edge = await startEdge({ rules: [stored] });
      const answer = await request(edge.url, { headers: { range: 'bytes=0-0', 'if-range': validator } });
      await answer.body.dump();
      expect(answer.statusCode).to.equal(status);
    });
  }

  it('applies neither to an answer that is not selectable', async () => {
    await using edge = await startEdge({ rules: [rule(answering({ headers, content: bytesContent(text) }))] });
    const answer = await request(edge.url, { headers: { range: 'bytes=0-0', 'if-none-match': '"v1"' } });
    expect(answer.statusCode).to.equal(200);
    expect(await answer.body.text()).to.equal(text);
  });

  it('cuts a large stored body into the right parts', async () => {
    const bytes = Buffer.alloc(3 * 1024 * 1024, 'caje');
    await using edge = await startEdge({ rules: [rule(answering({ content: bytesContent(bytes), selectable: true }))] });
    const answer = await request(edge.url, { headers: { range: 'bytes=1048575-2097153' } });
    const got = Buffer.from(await answer.body.arrayBuffer());
    const hash = (part: Buffer): string => createHash('sha256').update(part).digest('hex');
    expect(hash(got)).to.equal(hash(bytes.subarray(1048575, 2097154)));
  });
});
