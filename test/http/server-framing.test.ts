import { expect } from 'chai';
import type { ProtocolRequest } from '../../src/protocol/protocol.ts';
import { type Edge, recording, rule, startEdge } from '../support/edge.ts';
import { rawExchange, statuses } from '../support/raw-http.ts';

const BEHIND = 'GET /behind HTTP/1.1\r\nHost: a\r\n\r\n';

/** Request texts that are refused, with the status of their only answer. */
const REFUSED: readonly (readonly [name: string, message: string, status: number])[] = [
  [
    'length and Transfer-Encoding (H-01)',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'Transfer-Encoding and length (H-01)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'two different lengths (H-02)',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    400,
  ],
  [
    'the same length twice (H-02)',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc',
    400,
  ],
  [
    'a list of lengths (H-02)',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc',
    400,
  ],
  ['a signed length (H-02)', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc', 400],
  ['a negative length (H-02)', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc', 400],
  ['a hex length (H-02)', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc', 400],
  ['an empty length (H-02)', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n', 400],
  [
    'an overflowing length (H-02)',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n',
    400,
  ],
  [
    'an unknown coding (H-03)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n',
    400,
  ],
  [
    'a coding before chunked (H-03)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'chunked twice (H-03)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'chunked in two lines (H-03)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'chunked behind a line with another coding (H-03)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "chunked"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  ['identity (H-03)', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n', 400],
  [
    'chunked not last (H-03)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'a misspelt coding (H-03)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'Transfer-Encoding in HTTP/1.0 (H-04)',
    'POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'Transfer-Encoding of a GET in HTTP/1.0 (H-04)',
    'GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  ['space before the colon (H-05)', 'GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n', 400],
  ['space before the first field (H-05)', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400],
  ['a folded line (H-05)', 'GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n', 400],
  ['a bare CR (H-06)', 'GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n', 400],
  ['bare LFs (H-06)', 'GET / HTTP/1.1\nHost: a\n\n', 400],
  ['NUL in a value (H-06)', 'GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n', 400],
  ['NUL in a name (H-06)', 'GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n', 400],
  ['a control character in a value (H-06)', 'GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n', 400],
  [
    'a chunk size that is no number (H-07)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n',
    400,
  ],
  [
    'a huge chunk size (H-07)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n',
    400,
  ],
  [
    'a chunk without its end (H-07)',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX',
    400,
  ],
  [
    'long chunk extensions (H-07)',
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;${'x'.repeat(17_000)}\r\nabc\r\n0\r\n\r\n`,
    413,
  ],
  ['no Host (H-09)', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['no Host in HTTP/1.0 (H-09)', 'GET / HTTP/1.0\r\n\r\n', 400],
  ['two Hosts (H-09)', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
  ['an empty Host (H-09)', 'GET / HTTP/1.1\r\nHost: \r\n\r\n', 400],
  ['a Host with a path (H-09)', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
  ['a Host with user information (H-09)', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 400],
  ['two names in one Host (H-09)', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400],
  ['a Host whose port is a word (H-09)', 'GET / HTTP/1.1\r\nHost: a:b\r\n\r\n', 400],
  ['a fragment (H-11)', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a control character in the target (H-11)', 'GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a raw 8-bit target (H-11)', 'GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['an HTTP/2.0 request line (H-11)', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
  ['HTTP/0.9 (H-11)', 'GET / HTTP/0.9\r\nHost: a\r\n\r\n', 505],
  ['a lower-case method (H-11)', 'get / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a target that is no path (H-11)', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['an absolute target of another scheme', 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['user information in the target', 'GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  [
    'a GET with a body (H-12)',
    `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ${BEHIND.length}\r\n\r\n`,
    400,
  ],
  [
    'a GET with a chunked body (H-12, N-20)',
    'GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'Upgrade (H-13)',
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    501,
  ],
  ['CONNECT (H-13)', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 405],
  ['TRACE (H-13)', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  ['OPTIONS of everything', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  [
    'an unknown expectation (H-14)',
    'POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\nContent-Length: 0\r\n\r\n',
    417,
  ],
];

describe('what the server refuses', () => {
  const asked: ProtocolRequest[] = [];
  let edge: Edge;

  before(async () => {
    edge = await startEdge({ rules: [rule(recording(asked))] });
  });
  beforeEach(() => {
    asked.length = 0;
  });
  after(async () => {
    await edge[Symbol.asyncDispose]();
  });

  for (const [name, message, status] of REFUSED) {
    it(`${name}: ${status}, the connection ends, and what is behind never runs`, async () => {
      const refusedBefore = edge.metrics.value('requests_refused_total');
      const { text, closed } = await rawExchange(edge.port, message + BEHIND);
      expect(statuses(text)).to.deep.equal([status]);
      expect(text).to.match(/^Content-Type: application\/problem\+json\r$/m);
      expect(text).to.match(/^Cache-Control: no-store\r$/m);
      expect(text).to.match(/^Connection: close\r$/m);
      expect(text).to.match(/"requestId":"[0-9a-f-]{36}"/);
      expect(closed).to.equal(true);
      expect(asked.filter(({ target }) => target === '/behind')).to.deep.equal([]);
      expect(edge.metrics.value('requests_refused_total')).to.equal(refusedBefore + 1);
    });
  }

  it('answers a good request before it refuses the broken one behind it', async () => {
    const { text, closed } = await rawExchange(
      edge.port,
      `GET /good HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nX : y\r\n\r\n${BEHIND}`,
    );
    expect(statuses(text)).to.deep.equal([200, 400]);
    expect(closed).to.equal(true);
    expect(asked.map(({ target }) => target)).to.deep.equal(['/good']);
  });

  it('answers 50 pipelined requests in order (H-14)', async () => {
    const many = Array.from(
      { length: 50 },
      (_, i) => `GET /${i} HTTP/1.1\r\nHost: a\r\n${i === 49 ? 'Connection: close\r\n' : ''}\r\n`,
    );
    const { text } = await rawExchange(edge.port, many.join(''));
    expect(statuses(text)).to.have.length(50);
    expect(asked.map(({ target }) => target)).to.deep.equal(
      Array.from({ length: 50 }, (_, i) => `/${i}`),
    );
  });

  it('tells a client that expects it to go on (H-14)', async () => {
    const { text } = await rawExchange(
      edge.port,
      'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab',
    );
    expect(statuses(text)).to.deep.equal([100, 200]);
    expect(asked[0]?.headers.has('Expect')).to.equal(false);
  });

  it('passes over an offer of HTTP/2 and answers in HTTP/1.1', async () => {
    const { text } = await rawExchange(
      edge.port,
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n',
    );
    expect(statuses(text)).to.deep.equal([200]);
    expect(asked[0]?.headers.has('Upgrade')).to.equal(false);
    expect(asked[0]?.headers.has('HTTP2-Settings')).to.equal(false);
  });

  it('does not take the unread body of a request for another one (H-12, CVE-2025-4366)', async () => {
    const { text } = await rawExchange(
      edge.port,
      `POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: ${BEHIND.length}\r\n\r\n${BEHIND}GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
    );
    expect(statuses(text)).to.deep.equal([200, 200]);
    expect(asked.map(({ target }) => target)).to.deep.equal(['/unread', '/last']);
  });

  it('lets the authority of an absolute target win over Host (H-10)', async () => {
    await rawExchange(
      edge.port,
      'GET http://B.example:80/x?y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    );
    expect(asked[0]?.host).to.equal('b.example');
    expect(asked[0]?.publicUrl).to.equal('http://b.example/x?y');
    expect(asked[0]?.target).to.equal('/x?y');
  });

  it('never merges trailer fields into the fields (H-08)', async () => {
    await rawExchange(
      edge.port,
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\nConnection: close\r\n\r\n1\r\na\r\n0\r\nX-Late: 1\r\n\r\n',
    );
    expect(asked[0]?.headers.has('X-Late')).to.equal(false);
    expect(asked[0]?.headers.has('Trailer')).to.equal(false);
  });
});
