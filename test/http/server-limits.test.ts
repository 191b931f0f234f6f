import { expect } from 'chai';
import { startEdge } from '../support/edge.ts';
import { rawConnect, rawExchange, statuses } from '../support/raw-http.ts';

describe('the limits of the server', () => {
  it('takes a request at each size limit and refuses the next byte (H-81)', async () => {
    await using edge = await startEdge();
    const get = async (target: string, fields: string): Promise<number[]> =>
      statuses(
        (
          await rawExchange(
            edge.port,
            `GET ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`,
            /\r\n\r\n/,
          )
        ).text,
      );
    const fields = (count: number): string =>
      Array.from({ length: count }, (_, i) => `X-${i}: y\r\n`).join('');
    expect(await get(`/${'t'.repeat(8191)}`, '')).to.deep.equal([200]);
    expect(await get(`/${'t'.repeat(8192)}`, '')).to.deep.equal([414]);
    expect(await get(`/${'t'.repeat(20_000)}`, '')).to.deep.equal([414]);
    expect(await get('/', fields(99))).to.deep.equal([200]);
    expect(await get('/', fields(100))).to.deep.equal([431]);
    expect(await get('/', `X: ${'y'.repeat(15_000)}\r\n`)).to.deep.equal([200]);
    expect(await get('/', `X: ${'y'.repeat(17_000)}\r\n`)).to.deep.equal([431]);
  });

  it('answers 408 to fields that come too slowly, and to silence', async () => {
    await using edge = await startEdge({ limits: { headerTimeoutMs: 100 } });
    const [slow, silent] = await Promise.all([
      rawExchange(edge.port, 'GET / HTTP/1.1\r\nHo'),
      rawExchange(edge.port, ''),
    ]);
    expect(statuses(slow.text)).to.deep.equal([408]);
    expect(statuses(silent.text)).to.deep.equal([408]);
    expect(edge.metrics.value('requests_refused_total', 'request-timeout')).to.equal(2);
  });

  it('closes a connection that has been idle too long', async () => {
    await using edge = await startEdge({ limits: { idleTimeoutMs: 50 } });
    const { text, closed } = await rawExchange(edge.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(statuses(text)).to.deep.equal([200]);
    expect(closed).to.equal(true);
  });

  it('answers 503 above the limit of connections', async () => {
    await using edge = await startEdge({ limits: { connections: 1 } });
    const first = await rawConnect(edge.port);
    const { text, closed } = await rawExchange(edge.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(statuses(text)).to.deep.equal([503]);
    expect(text).to.match(/^Retry-After: 1\r$/m);
    expect(closed).to.equal(true);
    first.destroy();
  });
});
