import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { request } from 'undici';
import type { Edge } from '../support/edge.ts';
import {
  answering,
  bytesContent,
  protocolOf,
  respond,
  rule,
  startEdge,
  streamContent,
} from '../support/edge.ts';
import { patience } from '../support/patience.ts';
import { rawConnect, rawExchange, statuses } from '../support/raw-http.ts';

/** An edge whose only answer grows as the test writes it. */
async function slowEdge(): Promise<{ edge: Edge; body: PassThrough; asked: Promise<void> }> {
  const body = new PassThrough();
  const asked = Promise.withResolvers<void>();
  const protocol = protocolOf(async ({ target }) => {
    if (target !== '/slow') return respond({ content: bytesContent('quick') });
    asked.resolve();
    return respond({ content: streamContent(() => body) });
  });
  return { edge: await startEdge({ rules: [rule(protocol)] }), body, asked: asked.promise };
}

describe('how a server stops', () => {
  it('ends at once when it is idle, with silent, half-sent and kept-alive connections open (F-102, N-09)', async () => {
    const edge = await startEdge();
    const silent = await rawConnect(edge.port);
    const half = await rawConnect(edge.port);
    half.write('GET / HTTP/1.1\r\nHo');
    const kept = await rawConnect(edge.port);
    kept.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((resolve) => kept.once('data', resolve));
    const gone = [silent, half, kept].map(
      (socket) => new Promise((resolve) => socket.resume().once('close', resolve)),
    );
    const startedAt = performance.now();
    expect(await edge.server.close({ graceMs: 60_000 })).to.equal(0);
    expect(performance.now() - startedAt).to.be.lessThan(1000 * patience());
    await Promise.all(gone);
    expect(edge.server.connections).to.equal(0);
  });

  it('lets an answer on its way end whole, and accepts nobody new (C4, F-101)', async () => {
    const { edge, body, asked } = await slowEdge();
    const answer = rawExchange(edge.port, 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    await asked;
    body.write('first ');
    const ended = edge.server.close();
    const refused = await request(edge.url).then(
      () => 'answered',
      () => 'refused',
    );
    expect(refused).to.equal('refused');
    body.end('last');
    const { text, closed } = await answer;
    expect(text).to.match(/last\r\n0\r\n\r\n$/);
    expect(closed).to.equal(true);
    expect(await ended).to.equal(0);
  });

  it('says Connection: close in answers that begin while it stops', async () => {
    const held = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const edge = await startEdge({
      rules: [
        rule(
          protocolOf(async () => {
            asked.resolve();
            await held.promise;
            return respond({ content: bytesContent('late') });
          }),
        ),
      ],
    });
    const answer = rawExchange(edge.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await asked.promise;
    const ended = edge.server.close();
    held.resolve();
    const { text } = await answer;
    expect(text).to.match(/^Connection: close\r$/m);
    expect(text).to.match(/late$/);
    await ended;
  });

  it('does not cut an answer that is ended but not yet taken by its client (N-18)', async () => {
    const bytes = Buffer.alloc(16 * 1024 * 1024, 'x');
    const edge = await startEdge({
      rules: [rule(answering({ content: bytesContent(bytes, { bytes }) }))],
    });
    const socket = await rawConnect(edge.port);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((resolve) => socket.once('readable', resolve));
    const ended = edge.server.close();
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    await new Promise((resolve) => socket.once('close', resolve));
    expect(received).to.be.greaterThan(bytes.length);
    expect(await ended).to.equal(0);
  });

  it('cuts what is left after the grace time, and says how much', async () => {
    const { edge, body, asked } = await slowEdge();
    const answer = rawExchange(edge.port, 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    await asked;
    body.write('first');
    expect(await edge.server.close({ graceMs: 50 })).to.equal(1);
    const { text } = await answer;
    expect(text).not.to.match(/0\r\n\r\n$/);
  });

  it('ends at once when it is told twice (F-102)', async () => {
    const { edge, asked } = await slowEdge();
    const answer = rawExchange(edge.port, 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    await asked;
    const first = edge.server.close({ graceMs: 60_000 });
    const second = edge.server.close();
    expect(await Promise.all([first, second])).to.deep.equal([1, 1]);
    await answer;
  });

  it('is not ready, but still answers, for the time balancers need (F-101)', async () => {
    const edge = await startEdge();
    expect(
      statuses(
        (
          await rawExchange(
            edge.port,
            'GET /_caje/readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
          )
        ).text,
      ),
    ).to.deep.equal([200]);
    const ended = edge.server.close({ notReadyMs: 60_000 });
    const { text } = await rawExchange(edge.port, 'GET /_caje/readyz HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(statuses(text)).to.deep.equal([503]);
    expect(text).to.match(/"stopping"/);
    expect(text).to.match(/^Connection: close\r$/m);
    await edge.server.close();
    await ended;
  });

  it('says plainly that a port is taken', async () => {
    await using edge = await startEdge();
    const { server } = await startEdge();
    await server.close();
    const failure = await server
      .listen({ host: '127.0.0.1', port: edge.port })
      .catch((error: unknown) => error);
    expect(failure)
      .to.be.an('error')
      .with.property(
        'message',
        `cannot listen on 127.0.0.1:${edge.port}: another process uses this port`,
      );
  });

  it('says plainly that an address is not its own', async () => {
    const { server } = await startEdge();
    await server.close();
    const failure = await server
      .listen({ host: '192.0.2.1', port: 0 })
      .catch((error: unknown) => error);
    expect(failure).to.have.property('kind', 'invalid');
  });
});

describe('the fast path', () => {
  it('is tried first for GET and HEAD that passed the checks, and for nothing else', async () => {
    const tried: string[] = [];
    await using edge = await startEdge({
      rules: [rule(answering({ content: bytesContent('slow') }))],
      fast: (req, res) => {
        tried.push(`${req.method} ${req.url}`);
        if (req.url !== '/hot') return false;
        res.end('fast');
        return true;
      },
    });
    const get = async (path: string, method: 'GET' | 'POST' = 'GET'): Promise<string> =>
      await (await request(`${edge.url}${path}`, { method })).body.text();
    expect(await get('/hot')).to.equal('fast');
    expect(await get('/cold')).to.equal('slow');
    expect(await get('/hot', 'POST')).to.equal('slow');
    await rawExchange(edge.port, 'GET /hot HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n');
    expect(tried).to.deep.equal(['GET /hot', 'GET /cold']);
  });

  it('costs a request nothing when it fails', async () => {
    await using edge = await startEdge({
      rules: [rule(answering({ content: bytesContent('slow') }))],
      fast: () => {
        throw new TypeError('broken');
      },
    });
    expect(await (await request(edge.url)).body.text()).to.equal('slow');
  });
});
