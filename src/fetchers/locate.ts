import type { CallOptions } from '../body.ts';
import type { Fetcher, FetchRequest } from './fetcher.ts';

/** The address that the first of several places names for a request. Absent: none of them names one. */
export async function locateFirst(
  fetchers: readonly Fetcher[],
  request: FetchRequest,
  options?: CallOptions,
): Promise<URL | undefined> {
  for (const fetcher of fetchers) {
    const address = await fetcher.locate?.(request, options);
    if (address !== undefined) return address;
  }
  return undefined;
}
