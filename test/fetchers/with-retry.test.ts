import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { expect } from 'chai';
import type { Clock } from '../../src/clock.ts';
import { SystemClock } from '../../src/clock.ts';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import { RetryBudget, withRetry } from '../../src/fetchers/with-retry.ts';
import { Metrics } from '../../src/metrics.ts';
import { startRawOrigin, type TestOrigin } from './origins.ts';
import { ask, base, failure, read, readText } from './requests.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('withRetry', () => {
  const metrics = new Metrics();
  let origin: TestOrigin | undefined;
  let inner: OriginFetcher | undefined;
  let requests = 0;

  const over = async (
    answer: (socket: Socket, nth: number) => void,
    budget = new RetryBudget(new SystemClock()),
  ): Promise<ReturnType<typeof withRetry>> => {
    requests = 0;
    origin = await startRawOrigin((socket) => answer(socket, ++requests));
    inner = new OriginFetcher({
      ...base(),
      url: new URL(origin.url),
      limits: { firstByteMs: 100 },
    });
    return withRetry(inner, { budget, metrics });
  };

  afterEach(async () => {
    await inner?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  for (const [what, end] of [
    ['closed', (socket: Socket) => socket.end()],
    ['reset', (socket: Socket) => socket.resetAndDestroy()],
  ] as const) {
    it(`asks once more when the connection is ${what} before the first byte`, async () => {
      const at = await over((socket, nth) => (nth === 1 ? end(socket) : socket.write(OK)));
      const retries = metrics.value('fetch_retries_total');
      expect(await readText(await at.fetch(ask('/x')))).to.deep.equal([200, 'ok']);
      expect(requests).to.equal(2);
      expect(metrics.value('fetch_retries_total')).to.equal(retries + 1);
    });
  }

  it('asks once more when a kept connection turns out to be dead', async () => {
    const at = await over((socket, nth) => {
      if (nth === 2) socket.resetAndDestroy();
      else socket.write(OK);
    });
    await read((await at.fetch(ask('/1'))).body);
    expect(await readText(await at.fetch(ask('/2')))).to.deep.equal([200, 'ok']);
    expect(requests).to.equal(3);
  });

  it('asks no third time', async () => {
    const at = await over((socket) => socket.end());
    await failure(at.fetch(ask('/x')), 'upstream');
    expect(requests).to.equal(2);
  });

  const once: readonly [string, (socket: Socket) => void, 'upstream' | 'timeout'][] = [
    ['one byte of the answer came', (socket) => socket.end('H'), 'upstream'],
    ['the head was cut', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent'), 'upstream'],
    ['the answer is nonsense', (socket) => socket.end('nonsense\r\n\r\n'), 'upstream'],
    ['no answer came in time', () => {}, 'timeout'],
  ];
  for (const [what, answer, kind] of once) {
    it(`does not ask again when ${what}`, async () => {
      const at = await over(answer);
      await failure(at.fetch(ask('/x')), kind);
      expect(requests).to.equal(1);
    });
  }

  it('does not ask again when the body is cut', async () => {
    const at = await over((socket) =>
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'),
    );
    await failure((async () => await read((await at.fetch(ask('/x'))).body))(), 'upstream');
    expect(requests).to.equal(1);
  });

  it('does not send twice what changes something or has a body', async () => {
    const at = await over((socket) => socket.end());
    await failure(at.fetch(ask('/x', [], { method: 'DELETE' })), 'upstream');
    expect(requests).to.equal(1);
    const body = Readable.from([Buffer.from('x')]);
    await failure(
      at.fetch(ask('/x', [['Content-Length', '1']], { method: 'GET', body })),
      'upstream',
    );
    expect(requests).to.equal(2);
  });

  it('F-48: adds no more than a tenth when every request fails', async () => {
    const at = await over((socket) => socket.resetAndDestroy());
    for (let i = 0; i < 200; i += 1) await failure(at.fetch(ask('/x')), 'upstream');
    expect(requests).to.be.within(201, 220);
  });
});

describe('RetryBudget', () => {
  it('forgets requests and retries after a minute', () => {
    let now = 1_000_000;
    const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => {} };
    const budget = new RetryBudget(clock);
    const allowed = (): number => {
      let n = 0;
      while (n < 1_000 && budget.tryRetry()) n += 1;
      return n;
    };
    expect(allowed()).to.equal(5);
    for (let i = 0; i < 1_000; i += 1) budget.request();
    expect(allowed()).to.equal(95);
    now += 30_000;
    expect(allowed()).to.equal(0);
    now += 31_000;
    expect(allowed()).to.equal(5);
  });
});
