import { HeaderList } from '../headers.ts';
import { Metrics } from '../metrics.ts';
import { ForwardedBody } from '../storage/forwarded-body.ts';
import type { StartRelay } from '../storage/tiered-refills.ts';
import { Fill } from './fill.ts';
import type { SpoolFolder } from './spool-folder.ts';

/** Bodies of stores read once for many, spooled as those of fetches are. They do not count as fills. */
export function bodyRelay(folder: SpoolFolder): StartRelay {
  // Fills that nobody fetched are counted by whoever copies.
  const metrics = new Metrics();
  return ({ digest, size, body }) =>
    new Fill(
      {
        status: 200,
        headers: new HeaderList([['content-length', String(size)]]),
        body: new ForwardedBody({ from: body, shared: true }),
        source: 'store',
      },
      { folder, metrics, maxBytes: Number.POSITIVE_INFINITY, pinned: digest },
    );
}
