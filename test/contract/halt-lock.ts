import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import type { HaltLock } from '../../src/manifest/halt-lock.ts';

/** A lock of its own, waiting for at most this long. */
export type MakeHaltLock = (acquireTimeoutMs: number) => Promise<HaltLock>;

/** What every `HaltLock` promises, run on one implementation. */
export function haltLockContract(name: string, make: MakeHaltLock): void {
  describe(`${name} as a HaltLock`, () => {
    it('is had by one at a time, in the order asked', async () => {
      await using lock = await make(10_000);
      const order: number[] = [];
      let holders = 0;
      const work = async (id: number): Promise<void> => {
        await using lease = await lock.acquire();
        holders += 1;
        expect(holders).to.equal(1);
        lease.assertHeld();
        await new Promise((resolve) => setImmediate(resolve));
        order.push(id);
        holders -= 1;
      };
      await Promise.all([1, 2, 3, 4, 5].map(work));
      expect(order).to.deep.equal([1, 2, 3, 4, 5]);
    });

    it('throws timeout when it was not had in time, and can be had afterwards', async () => {
      await using lock = await make(30);
      const lease = await lock.acquire();
      expect(await lock.acquire().catch(kindOf)).to.equal('timeout');
      await lease[Symbol.asyncDispose]();
      await using next = await lock.acquire();
      next.assertHeld();
    });

    it('throws aborted when the wait is given up, and lets the next one pass', async () => {
      await using lock = await make(10_000);
      const lease = await lock.acquire();
      const abort = new AbortController();
      const given = lock.acquire({ signal: abort.signal }).catch(kindOf);
      const next = lock.acquire();
      abort.abort();
      expect(await given).to.equal('aborted');
      await lease[Symbol.asyncDispose]();
      (await next).assertHeld();
      expect(await lock.acquire({ signal: AbortSignal.abort() }).catch(kindOf)).to.equal('aborted');
    });

    it('says that a lease is over once it was given back, which may be done twice', async () => {
      await using lock = await make(10_000);
      const lease = await lock.acquire();
      expect(lease.deadline).to.be.greaterThan(performance.now());
      await lease[Symbol.asyncDispose]();
      await using other = await lock.acquire();
      await lease[Symbol.asyncDispose]();
      expect(() => lease.assertHeld()).to.throw('given back');
      other.assertHeld();
    });
  });
}
