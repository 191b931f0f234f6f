import { PassThrough, Readable } from 'node:stream';
import { expect } from 'chai';
import { ProxyError } from '../../src/errors.ts';
import { answering, protocolOf, respond, rule, startEdge, streamContent } from '../support/edge.ts';
import { rawConnect, rawExchange } from '../support/raw-http.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

describe('an answer that cannot be whole', () => {
  const cases = [
    [
      'shorter than announced (N-06, H-25)',
      () => streamContent(() => Readable.from([Buffer.from('12345')]), { size: 10 }),
    ],
    [
      'longer than announced',
      () => streamContent(() => Readable.from([Buffer.from('123456789012345')]), { size: 10 }),
    ],
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
    await using edge = await startEdge({
      rules: [rule(answering({ content: streamContent(() => failing('12345')) }))],
    });
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
