import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { workThrough } from '../src/work-queue.ts';

describe('workThrough', () => {
  it('does all there is and all that is added, so many at once', async () => {
    let running = 0;
    let most = 0;
    const results = await Array.fromAsync(
      workThrough([1, 2, 3], 2, async (item, { add }) => {
        running += 1;
        most = Math.max(most, running);
        await sleep(1);
        if (item < 10) add(item * 10);
        running -= 1;
        return item;
      }),
    );
    expect(results.sort((a, b) => a - b)).to.deep.equal([1, 2, 3, 10, 20, 30]);
    expect(most).to.equal(2);
  });

  it('takes no more from its source than it works on', async () => {
    let taken = 0;
    async function* source(): AsyncGenerator<number> {
      for (;;) yield ++taken;
    }
    for await (const result of workThrough(source(), 3, async (item) => item)) {
      expect(taken).to.be.at.most(result + 6);
      if (result === 100) break;
    }
    expect(taken).to.be.lessThan(110);
  });

  it('ends with the first failure, after what runs has stopped', async () => {
    let running = 0;
    const work = async (item: number, { signal }: { signal: AbortSignal }): Promise<number> => {
      running += 1;
      try {
        if (item === 2) throw new Error('the second');
        await sleep(10_000, undefined, { signal });
        return item;
      } finally {
        running -= 1;
      }
    };
    let failure: unknown;
    try {
      await Array.fromAsync(workThrough([1, 2, 3], 3, work));
    } catch (error) {
      failure = error;
    }
    expect(failure).to.have.property('message', 'the second');
    expect(running).to.equal(0);
  });

  it('stops when its caller gives up', async () => {
    const stop = new AbortController();
    let begun = 0;
    const work = async (item: number): Promise<number> => {
      begun = item;
      return item;
    };
    const rows = workThrough([1, 2, 3], 1, work, stop);
    await rows.next();
    stop.abort();
    let failure: unknown;
    await rows.next().catch((error: unknown) => {
      failure = error;
    });
    expect(failure).to.have.property('name', 'AbortError');
    expect(begun).to.equal(1);
  });
});
