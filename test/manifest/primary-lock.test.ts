import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { kindOf } from '../../src/errors.ts';
import type { HaltLock } from '../../src/manifest/halt-lock.ts';
import { primaryLock } from '../../src/manifest/primary-lock.ts';
import { haltLockContract } from '../contract/halt-lock.ts';
import { eventually } from '../criteria/eventually.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { JOURNAL, JournalCluster, rowsOf } from '../support/journal-cluster.ts';
import { CLUSTER_TOKEN, type JournalNode } from '../support/journal-nodes.ts';
import { put } from '../support/manifest-fixtures.ts';

const LEASE_MS = 400;

describe("the lock of a primary's manifest", () => {
  const clock = new SystemClock();
  let cluster: JournalCluster;
  let primary: JournalNode;
  before(async () => {
    cluster = new JournalCluster();
    primary = await cluster.start('n1', undefined, { settings: { leaseMs: LEASE_MS } });
  });
  after(async () => await cluster[Symbol.asyncDispose]());

  function lockAt(url: string, acquireTimeoutMs = 10_000): HaltLock {
    return primaryLock({
      node: 'n2',
      url,
      credentials: { token: CLUSTER_TOKEN },
      clock,
      acquireTimeoutMs,
    });
  }

  haltLockContract('peer', async (acquireTimeoutMs) => lockAt(primary.url, acquireTimeoutMs));

  it('keeps the primary from writing, and is kept for longer than a lease by renewals', async () => {
    await using lock = lockAt(primary.url);
    const lease = await lock.acquire();
    const written = primary.manifest.commit([put('a')]);
    await clock.sleep(LEASE_MS * 2);
    lease.assertHeld();
    expect(rowsOf(primary, JOURNAL, 1)).to.deep.equal([]);
    await lease[Symbol.asyncDispose]();
    expect((await written)[0]?.outcome).to.equal('committed');
  });

  it('is lost before the primary writes again where renewals do not arrive (F-55)', async () => {
    await using proxy = await FaultProxy.start(primary.url);
    await using lock = lockAt(proxy.url);
    const lease = await lock.acquire();
    proxy.fault = { partition: true };
    const written = primary.manifest.commit([put('b')]);
    await eventually('the end of the lease', () => {
      try {
        lease.assertHeld();
        return false;
      } catch (error) {
        return kindOf(error) === 'conflict';
      }
    });
    await written;
    expect(() => lease.assertHeld()).to.throw('ran out');
    proxy.fault = {};
  });

  it('is not had, and nothing is written, where the primary cannot be asked (F-56)', async () => {
    await using lock = lockAt('http://127.0.0.1:1');
    let worked = false;
    const failure: unknown = await (async () => {
      await using _ = await lock.acquire();
      worked = true;
    })().catch((error: unknown) => error);
    expect([kindOf(failure), worked]).to.deep.equal(['unavailable', false]);
  });
});
