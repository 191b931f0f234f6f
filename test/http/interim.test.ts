import { expect } from 'chai';
import { startRawOrigin, type TestOrigin } from '../fetchers/origins.ts';
import { NodeProcess } from '../support/node-process.ts';
import { rawExchange, statuses } from '../support/raw-http.ts';

const LINK = '</a.css>; rel=preload; as=style';
const FINAL = 'Cache-Control: max-age=60\r\nX-Final: 1\r\nContent-Length: 2\r\n\r\nok';

/** What the origin says before its answer, by path. */
const INTERIM: Readonly<Record<string, string>> = {
  '/102': 'HTTP/1.1 102 Processing\r\n\r\n',
  '/103': `HTTP/1.1 103 Early Hints\r\nLink: ${LINK}\r\nLink: </b.css>; rel=preload\r\nX-Hint: 1\r\nSet-Cookie: a=b\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n`,
  '/two': `HTTP/1.1 103 Early Hints\r\nLink: ${LINK}\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: ${LINK}\r\n\r\n`,
  '/old': `HTTP/1.1 103 Early Hints\r\nLink: ${LINK}\r\n\r\n`,
  '/no-link': 'HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n',
  '/no-links': 'HTTP/1.1 103 Early Hints\r\nLink: here and there\r\n\r\n',
  '/199': 'HTTP/1.1 199 Odd\r\nLink: </a>\r\n\r\n',
};

describe('interim answers, RFC 9110 §15.2', () => {
  let origin: TestOrigin;
  let node: NodeProcess;

  before(async () => {
    origin = await startRawOrigin((socket, head) => {
      const path = head.split(' ')[1] ?? '';
      socket.write(`${INTERIM[path] ?? ''}HTTP/1.1 200 OK\r\n${FINAL}`);
    });
    node = await NodeProcess.start({
      config: {
        fetchers: { site: { type: 'origin', url: origin.url } },
        rules: [{ name: 'site', protocol: 'http', fetch: 'site' }],
      },
    });
  });

  after(async () => {
    await node[Symbol.asyncDispose]();
    await origin.close();
  });

  async function ask(path: string, version = '1.1', method = 'GET'): Promise<string> {
    const request = `${method} ${path} HTTP/${version}\r\nHost: a\r\nConnection: close\r\n\r\n`;
    return (await rawExchange(Number(new URL(node.url).port), request)).text;
  }

  it('pass on a 102, and not again on a hit', async () => {
    expect(statuses(await ask('/102'))).to.deep.equal([102, 200]);
    expect(statuses(await ask('/102'))).to.deep.equal([200]);
  });

  it('pass on a 103 with its end-to-end fields, none of which is kept', async () => {
    const [hints = '', ...rest] = (await ask('/103')).split('\r\n\r\n');
    expect(hints.split('\r\n')).to.deep.equal([
      'HTTP/1.1 103 Early Hints',
      `Link: ${LINK}, </b.css>; rel=preload`,
      'x-hint: 1',
    ]);
    expect(rest.join())
      .to.match(/^HTTP\/1\.1 200/)
      .and.to.contain('X-Final: 1');
    expect(await ask('/103'))
      .to.match(/^X-Cache: HIT\r$/m)
      .and.not.to.match(/hint|link|hop/i);
  });

  it('pass on each of several, and to requests of other methods', async () => {
    expect(statuses(await ask('/two'))).to.deep.equal([103, 103, 200]);
    expect(statuses(await ask('/103', '1.1', 'OPTIONS'))).to.deep.equal([103, 200]);
  });

  it('are left out for HTTP/1.0', async () => {
    expect(statuses(await ask('/old', '1.0'))).to.deep.equal([200]);
  });

  for (const path of ['/no-link', '/no-links', '/199'])
    it(`are left out where they say nothing that can be passed on: ${path}`, async () => {
      expect(statuses(await ask(path))).to.deep.equal([200]);
    });
});
