import { expect } from 'chai';
import type { Clock } from '../../src/clock.ts';
import { kindOf, ProxyError } from '../../src/errors.ts';
import { StoreGate } from '../../src/storage/store-gate.ts';
import { failureOf } from '../contract/backend-fixture.ts';

class HandClock implements Clock {
  time = 0;

  now(): number {
    return this.time;
  }

  monotonic(): number {
    return this.time;
  }

  async sleep(): Promise<void> {}
}

describe('StoreGate', () => {
  const down = async (): Promise<never> => {
    throw new ProxyError('unavailable', 'test', 'down');
  };

  it('lets one call a second through while the store fails, and all once it works', async () => {
    const clock = new HandClock();
    const gate = new StoreGate(clock);
    let calls = 0;
    const call = async (): Promise<void> => {
      calls++;
      await down();
    };
    for (let ms = 0; ms < 10_000; ms += 10) {
      clock.time = ms;
      expect(kindOf(await failureOf(gate.run('test', call)))).to.equal('unavailable');
    }
    expect(calls).to.equal(10);
    expect(gate.problem).to.equal('down');
    clock.time = 20_000;
    expect(await gate.run('test', async () => 'up')).to.equal('up');
    expect(gate.problem).to.equal(undefined);
    expect(await gate.run('test', async () => 'still up')).to.equal('still up');
  });

  it('has one probe under way at most, however long it takes', async () => {
    const clock = new HandClock();
    const gate = new StoreGate(clock);
    await failureOf(gate.run('test', down));
    clock.time = 1000;
    const { promise, resolve } = Promise.withResolvers<string>();
    const probe = gate.run('test', async () => await promise);
    clock.time = 60_000;
    expect(kindOf(await failureOf(gate.run('test', async () => 'second')))).to.equal('unavailable');
    resolve('first');
    expect(await probe).to.equal('first');
  });

  for (const kind of ['not-found', 'conflict'] as const) {
    it(`is opened by an answer of ${kind}`, async () => {
      const clock = new HandClock();
      const gate = new StoreGate(clock);
      await failureOf(gate.run('test', down));
      clock.time = 1000;
      const answer = async (): Promise<never> => {
        throw new ProxyError(kind, 'test', 'no');
      };
      expect(kindOf(await failureOf(gate.run('test', answer)))).to.equal(kind);
      expect(gate.problem).to.equal(undefined);
      expect(await gate.run('test', async () => 'works')).to.equal('works');
    });
  }

  it('stays open for failures that say nothing about the store', async () => {
    const gate = new StoreGate(new HandClock());
    const failing = async (): Promise<never> => {
      throw new ProxyError('range', 'test', 'no');
    };
    expect(kindOf(await failureOf(gate.run('test', failing)))).to.equal('range');
    expect(gate.problem).to.equal(undefined);
  });
});
