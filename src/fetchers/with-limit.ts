import type { FetchLimit } from './fetch-limit.ts';
import type { Fetcher } from './fetcher.ts';

/**
 * A fetch begins when `limit` has a slot and holds it until its body ended or was destroyed.
 * Order of wrappers, outermost first: the fetcher's own limit, the shared one, retry: who waits for its own
 * fetcher's turn holds no shared slot, and a second try keeps the slot of the first.
 */
export function withLimit(inner: Fetcher, limit: FetchLimit): Fetcher {
  return {
    name: inner.name,
    locate: inner.locate?.bind(inner),
    fetch: async (request, options) => {
      if (!limit.tryAcquire()) await limit.acquire(options);
      try {
        const fetched = await inner.fetch(request, options);
        if (fetched.body.closed) limit.release();
        else fetched.body.once('close', () => limit.release());
        return fetched;
      } catch (error) {
        limit.release();
        throw error;
      }
    },
  };
}
