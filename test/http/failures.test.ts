import { expect } from 'chai';
import { request } from 'undici';
import { ProxyError } from '../../src/errors.ts';
import { AccessLog, loggableUrl } from '../../src/http/access-log.ts';
import { PROBLEMS } from '../../src/http/problem.ts';
import type { Logger } from '../../src/log.ts';
import { answering, protocolOf, rule, startEdge } from '../support/edge.ts';
import { rawExchange } from '../support/raw-http.ts';

describe('what a failure looks like', () => {
  for (const [kind, { status, retryable }] of Object.entries(PROBLEMS)) {
    if (kind === 'aborted') continue;
    it(`is ${status} for ${kind}, as problem+json with the request id of its log line (C5, H-49)`, async () => {
      const lines: Record<string, unknown>[] = [];
      const failing = protocolOf(async () => {
        throw new ProxyError(kind as 'invalid', 'test.fail', 'said so');
      });
      await using edge = await startEdge({
        rules: [rule(failing)],
        access: new AccessLog(collecting(lines), true),
      });
      const answer = await request(edge.url, { headers: { 'x-request-id': 'forged' } });
      const problem = (await answer.body.json()) as Record<string, unknown>;
      expect(answer.statusCode).to.equal(status);
      expect(answer.headers['content-type']).to.equal('application/problem+json');
      expect(answer.headers['cache-control']).to.equal('no-store');
      expect(answer.headers['cache-status']).to.match(/^caje;/);
      expect(problem).to.include({ status, code: kind, retryable });
      expect(problem['detail']).to.equal(
        kind === 'internal' ? 'The node failed; its log has more under the request id.' : 'said so',
      );
      expect(problem['requestId']).to.equal(answer.headers['x-request-id']);
      expect(problem['requestId']).not.to.equal('forged');
      expect(edge.metrics.value('request_errors_total', kind)).to.equal(1);
      await edge[Symbol.asyncDispose]();
      expect(lines).to.have.length(1);
      expect(lines[0]).to.include({
        requestId: problem['requestId'],
        status,
        error: kind,
        rule: 'all',
      });
    });
  }

  it('keeps the message and the stack of a foreign error back (H-104)', async () => {
    const failing = protocolOf(async () => {
      throw new TypeError('secret /var/lib/caje at 10.0.0.1');
    });
    await using edge = await startEdge({ rules: [rule(failing)] });
    const answer = await request(edge.url);
    expect(answer.statusCode).to.equal(500);
    expect(await answer.body.text()).not.to.match(/secret|10\.0|TypeError/);
  });

  it('is one line of text for clients that show it as it is', async () => {
    const failing = protocolOf(async () => {
      throw new ProxyError('not-found', 'test', 'no such version');
    });
    await using edge = await startEdge({ rules: [rule(failing, { errorFormat: 'text' })] });
    const answer = await request(edge.url);
    expect(answer.statusCode).to.equal(404);
    expect(answer.headers['content-type']).to.equal('text/plain; charset=utf-8');
    expect(await answer.body.text()).to.equal('no such version\n');
  });

  it('says when to try again', async () => {
    const failing = protocolOf(async () => {
      throw new ProxyError('unavailable', 'test', 'busy', { retryAfter: 2.5 });
    });
    await using edge = await startEdge({ rules: [rule(failing)] });
    const answer = await request(edge.url);
    await answer.body.dump();
    expect(answer.headers['retry-after']).to.equal('3');
  });

  it('carries the request id that a trusted proxy gave', async () => {
    await using edge = await startEdge({
      rules: [rule(answering({}), { host: 'x' })],
      trustedProxies: ['127.0.0.1'],
    });
    const answer = await request(edge.url, { headers: { 'x-request-id': 'abc-1' } });
    await answer.body.dump();
    expect(answer.headers['x-request-id']).to.equal('abc-1');
  });
});

describe('the access log', () => {
  it('has one JSON line per request, without secrets and whatever the request holds (H-104, H-106)', async () => {
    const written: string[] = [];
    const { pino } = await import('pino');
    const log = pino({ base: null }, { write: (line: string) => void written.push(line) });
    const edge = await startEdge({ access: new AccessLog(log, true) });
    const targets = [
      '/?token=canary',
      '/?a=1&X-Amz-Signature=canary&b',
      '/?%74oken=canary',
      `/${'x'.repeat(8000)}`,
      '/%0d%0a%1b[2J',
      '/?api_key=canary#',
    ];
    for (const target of targets)
      await rawExchange(
        edge.port,
        `GET ${target} HTTP/1.1\r\nHost: a\r\nX: \x9b31m\r\nConnection: close\r\n\r\n`,
      );
    await edge[Symbol.asyncDispose]();
    expect(written).to.have.length(targets.length);
    for (const line of written) {
      expect(line.trimEnd()).not.to.match(/[\p{Cc}]|canary/u);
      expect(JSON.parse(line)).to.include({ method: 'GET', remote: '127.0.0.1' });
    }
    expect(JSON.parse(written[0] ?? '')).to.include({
      url: '/?token=***',
      status: 200,
      cache: 'hit',
      rule: 'all',
      bytes: 0,
    });
  });

  it('shows odd characters of a URL as escapes', () => {
    expect(loggableUrl('/a\u202eb\u009b?q=\u007f')).to.equal('/a\\u202eb\\u009b?q=\\u007f');
    expect(loggableUrl('http://u:canary@h/p')).to.equal('http://***@h/p');
  });

  it('can be off, but for what the node failed itself', async () => {
    const lines: Record<string, unknown>[] = [];
    const failing = protocolOf(async ({ target }) => {
      throw new ProxyError(target === '/bad' ? 'upstream' : 'not-found', 'test', 'x');
    });
    await using edge = await startEdge({
      rules: [rule(failing)],
      access: new AccessLog(collecting(lines), false),
    });
    for (const path of ['/', '/bad']) await (await request(`${edge.url}${path}`)).body.dump();
    await edge[Symbol.asyncDispose]();
    expect(lines.map(({ status }) => status)).to.deep.equal([502]);
  });
});

function collecting(lines: Record<string, unknown>[]): Logger {
  const add = (fields: object): void => void lines.push({ ...fields });
  return { debug: add, info: add, warn: add, error: add, child: () => collecting(lines) };
}
