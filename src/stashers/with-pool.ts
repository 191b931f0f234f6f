import PQueue from 'p-queue';
import { type StasherWrapper, withStash } from './stasher.ts';

/**
 * At most `concurrency` bodies are kept at a time; the others wait their turn, their clients do not. A caller that leaves
 * does not end the wait: what its signal means is for the inner stasher to say.
 */
export function withPool(concurrency: number): StasherWrapper {
  const queue = new PQueue({ concurrency });
  return (inner) =>
    withStash(
      inner,
      async (stashable, options) =>
        await queue.add(async () => await inner.stash(stashable, options)),
    );
}
