import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { FetchLimit } from '../../src/fetchers/fetch-limit.ts';
import type { Fetched, Fetcher } from '../../src/fetchers/fetcher.ts';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import { withLimit } from '../../src/fetchers/with-limit.ts';
import { Metrics } from '../../src/metrics.ts';
import { startOrigin, type TestOrigin } from './origins.ts';
import { ask, base, failure, read, until } from './requests.ts';

describe('withLimit', () => {
  const metrics = new Metrics();
  let origin: TestOrigin;
  let inner: OriginFetcher;
  let answers: (() => void)[] = [];
  let running = 0;
  let peak = 0;

  beforeEach(async () => {
    answers = [];
    running = 0;
    peak = 0;
    origin = await startOrigin((_, response) => {
      running += 1;
      peak = Math.max(peak, running);
      response.on('close', () => {
        running -= 1;
      });
      answers.push(() => response.end('ok'));
    });
    inner = new OriginFetcher({ ...base(), url: new URL(origin.url) });
  });

  afterEach(async () => {
    await inner[Symbol.asyncDispose]();
    await origin.close();
  });

  const limitOf = (
    concurrent: number,
    more: { queue?: number; waitMs?: number } = {},
  ): FetchLimit => new FetchLimit({ concurrent, clock: new SystemClock(), metrics, ...more });
  const settle = async (): Promise<void> => {
    await until(() => answers.length > 0);
    answers.shift()?.();
  };

  it('F4: one limit over several fetchers holds all of them', async () => {
    const shared = limitOf(2);
    const fetchers = [withLimit(inner, shared), withLimit(inner, shared)];
    const all = Array.from({ length: 6 }, async (_, i) => {
      const fetched = await (fetchers[i % 2] as Fetcher).fetch(ask(`/${i}`));
      return String(await read(fetched.body));
    });
    for (let i = 0; i < 6; i += 1) await settle();
    expect(await Promise.all(all)).to.deep.equal(new Array(6).fill('ok'));
    expect([peak, shared.running, shared.waiting]).to.deep.equal([2, 0, 0]);
  });

  it('holds the slot until the body is read', async () => {
    const limit = limitOf(1);
    const limited = withLimit(inner, limit);
    const first = limited.fetch(ask('/1'));
    await settle();
    const { body } = await first;
    const second = limited.fetch(ask('/2'));
    await until(() => limit.waiting === 1);
    expect(answers.length).to.equal(0);
    await read(body);
    await settle();
    await read((await second).body);
    expect(limit.running).to.equal(0);
  });

  it('frees the slot of a body that is destroyed and of a fetch that fails', async () => {
    const limit = limitOf(1);
    const limited = withLimit(inner, limit);
    const first = limited.fetch(ask('/1'));
    await settle();
    (await first).body.destroy();
    await until(() => limit.running === 0);
    await failure(limited.fetch(ask('no slash')), 'invalid');
    expect(limit.running).to.equal(0);
  });

  it('frees the slot of a body that was closed before it could be watched', async () => {
    const limit = limitOf(1);
    const closed: Fetcher = {
      name: 'closed',
      fetch: async (request): Promise<Fetched> => {
        const fetching = inner.fetch(request);
        await settle();
        const fetched = await fetching;
        await read(fetched.body);
        await until(() => fetched.body.closed);
        return fetched;
      },
    };
    await withLimit(closed, limit).fetch(ask('/1'));
    expect(limit.running).to.equal(0);
  });

  it('H-88: refuses what the queue has no room for, and says when to come again', async () => {
    const limited = withLimit(inner, limitOf(1, { queue: 1 }));
    const refused = metrics.value('fetch_queue_refused_total');
    const giveUp = new AbortController();
    const first = limited.fetch(ask('/1'), { signal: giveUp.signal });
    const second = limited.fetch(ask('/2'), { signal: giveUp.signal });
    const error = await failure(limited.fetch(ask('/3')), 'unavailable');
    expect(error.retryAfter).to.be.greaterThan(0);
    expect(metrics.value('fetch_queue_refused_total')).to.equal(refused + 1);
    giveUp.abort();
    await Promise.all([failure(first, 'aborted'), failure(second, 'aborted')]);
  });

  it('refuses what has waited too long', async () => {
    const limit = limitOf(1, { waitMs: 30 });
    const limited = withLimit(inner, limit);
    const first = limited.fetch(ask('/1'));
    const error = await failure(limited.fetch(ask('/2')), 'unavailable');
    expect(error.retryAfter).to.be.greaterThan(0);
    expect(limit.waiting).to.equal(0);
    await settle();
    await read((await first).body);
    expect(limit.running).to.equal(0);
  });

  it('lets a waiting caller go, and the next in line has the slot', async () => {
    const limit = limitOf(1);
    const limited = withLimit(inner, limit);
    const first = limited.fetch(ask('/1'));
    const giveUp = new AbortController();
    const second = limited.fetch(ask('/2'), { signal: giveUp.signal });
    const third = limited.fetch(ask('/3'));
    giveUp.abort();
    await failure(second, 'aborted');
    await settle();
    await read((await first).body);
    await settle();
    await read((await third).body);
    expect([limit.running, limit.waiting]).to.deep.equal([0, 0]);
  });

  it('admits in the order of arrival', async () => {
    const limit = limitOf(1);
    await limit.acquire();
    const order: number[] = [];
    const waiting = [1, 2, 3].map(async (n) => {
      await limit.acquire();
      order.push(n);
      limit.release();
    });
    limit.release();
    await Promise.all(waiting);
    expect(order).to.deep.equal([1, 2, 3]);
    expect(limit.running).to.equal(0);
  });
});
