import { ProxyError } from '../errors.ts';
import { type StasherWrapper, withStash } from './stasher.ts';

/**
 * Gives up keeping a body after `ms` milliseconds, whoever asked for it: the limit belongs to the stash, not to the
 * caller, whose own signal is left out on purpose, since a client that leaves must not end what others wait for.
 */
export function withTimeout(ms: number): StasherWrapper {
  return (inner) =>
    withStash(inner, async (stashable) => {
      const limit = new AbortController();
      const timer = setTimeout(
        () => limit.abort(new ProxyError('timeout', 'stasher.stash', `not kept within ${ms} ms`)),
        ms,
      );
      timer.unref();
      try {
        return await inner.stash(stashable, { signal: limit.signal });
      } finally {
        clearTimeout(timer);
      }
    });
}
