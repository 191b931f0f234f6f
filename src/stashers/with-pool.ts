import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { SMALL_BODY } from '../storage/small-body.ts';
import { type Stashable, type StasherWrapper, withStash } from './stasher.ts';

/** What a pool does when more waits than it may hold. */
export interface PoolBound {
  /** Bytes of memory that bodies may hold while they wait. */
  readonly maxWaitingBytes: number;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/**
 * At most `concurrency` bodies are kept at a time; the others wait their turn, their clients do not. A caller that leaves
 * does not end the wait: what its signal means is for the inner stasher to say. Past the bound a body is served but not
 * kept, and counted: a store slower than the origins must not fill the memory.
 */
export function withPool(concurrency: number, bound?: PoolBound): StasherWrapper {
  const waiters = new Set<() => void>();
  let running = 0;
  let waitingBytes = 0;

  const enter = async (weight: number): Promise<void> => {
    if (running < concurrency) {
      running += 1;
      return;
    }
    waitingBytes += weight;
    await new Promise<void>((resolve) => {
      waiters.add(resolve);
    });
    waitingBytes -= weight;
  };
  // A place is handed on, not given back, where somebody waits for it.
  const leave = (): void => {
    const [next] = waiters;
    if (next === undefined) running -= 1;
    else {
      waiters.delete(next);
      next();
    }
  };

  return (inner) =>
    withStash(inner, async (stashable, options) => {
      const weight = weightOf(stashable);
      if (bound && running >= concurrency && waitingBytes + weight > bound.maxWaitingBytes) {
        bound.metrics.count('stash_failed_total', 'busy');
        bound.log.debug({ key: stashable.draft.key }, 'the store is too slow: a body is not kept');
        return undefined;
      }
      await enter(weight);
      try {
        return await inner.stash(stashable, options);
      } finally {
        leave();
      }
    });
}

// A larger body lies in its spool file and holds only the window of its newest bytes.
function weightOf({ body }: Stashable): number {
  return Math.min(body.expectedSize ?? SMALL_BODY, SMALL_BODY);
}
