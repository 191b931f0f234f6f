import { kindOf, messageOf } from '../errors.ts';
import type { Entry } from '../manifest/entry.ts';
import type { Getter } from '../storage/backend.ts';
import { type Digest, isDigest } from '../storage/digest.ts';
import type { Supply } from './arrival.ts';
import { memoryContent, storedContent } from './contents.ts';
import type { PullThroughOptions } from './filler.ts';
import type { Content } from './protocol.ts';

/** The body of an entry, from memory or from the store. Absent: it is gone or cannot be read, which a refill heals. Throws `aborted` alone. */
export async function openEntry(
  entry: Entry,
  supply: Supply,
  { cache, log, metrics }: Pick<PullThroughOptions, 'cache' | 'log' | 'metrics'>,
): Promise<Content | undefined> {
  const { digest } = entry;
  if (!isDigest(digest)) return undefined;
  const bytes = cache.get(digest);
  if (bytes) return memoryContent(bytes, digest);
  const { bodies } = supply.stasher;
  if (!bodies) return undefined;
  supply.peer?.begun();
  try {
    const loaded = await cache.load(
      digest,
      entry.size,
      async () => await readWhole(bodies, digest),
    );
    if (loaded?.length === entry.size) return memoryContent(loaded, digest);
    const opened = await bodies.open(digest, { signal: supply.signal });
    if (!opened || opened.size !== entry.size) {
      opened?.body.destroy();
      metrics.count('missing_blobs_total');
      return undefined;
    }
    if (opened.bytes) cache.set(digest, opened.bytes);
    return storedContent(opened, bodies);
  } catch (error) {
    if (kindOf(error) === 'aborted') throw error;
    // A store that cannot be asked is a miss, not an error of the client's.
    log.warn({ err: messageOf(error), key: entry.key }, 'a stored body could not be read');
    metrics.count('missing_blobs_total');
    return undefined;
  }
}

// Without a client's signal: others may wait for the same body.
async function readWhole(bodies: Getter, digest: Digest): Promise<Buffer | undefined> {
  const opened = await bodies.open(digest);
  if (!opened || opened.bytes) return opened?.bytes;
  // Of its own: pieces may come from blocks that are lent again.
  const whole = Buffer.allocUnsafeSlow(opened.size);
  let size = 0;
  for await (const piece of opened.body) size += (piece as Buffer).copy(whole, size);
  return size === opened.size ? whole : undefined;
}
