import { expect } from 'chai';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { ENTRY_BYTES } from '../../src/storage/eviction.ts';
import { Quota } from '../../src/storage/quota.ts';
import { Sieve, type SieveRecords } from '../../src/storage/sieve.ts';
import { FakeClock } from '../support/fake-clock.ts';

const SIZE = 10_000 - ENTRY_BYTES;

describe('a quota', () => {
  it('forgets what it was to make free while nothing could go', async () => {
    const sieve = new Sieve();
    let isRead = true;
    const records: SieveRecords = {
      totals: () => sieve.totals,
      next: (limit) => sieve.next(limit),
      isVisited: () => false,
      isRead: () => isRead,
      passed: async () => {},
      remove: async ({ digest }) => sieve.delete(digest),
    };
    for (let at = 0; at < 100; at++)
      sieve.set({ digest: digestOf(Buffer.from(`${at}`)), size: SIZE, modifiedAt: at });
    const clock = new FakeClock();
    const limits = { maxBytes: 1_000_000, highWater: 0.95, lowWater: 0.9 };
    const parts = { clock, log: silentLogger, metrics: new Metrics() };
    await using quota = new Quota({ name: 'local', limits, records, ...parts });
    await quota.free(10_000);
    await quota.free(800_000);
    expect(sieve.totals.entries).to.equal(100);
    isRead = false;
    clock.advance(60_000);
    await quota.free(0);
    expect(sieve.totals.entries).to.equal(90);
  });
});
