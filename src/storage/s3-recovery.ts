import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { isProcessAlive } from '../process-identity.ts';
import type { S3Keys } from './s3-keys.ts';
import type { S3Objects } from './s3-objects.ts';
import type { S3Uploads } from './s3-uploads.ts';

/** An upload straight to a body's key does not tell whose it is: only one older than any fill is ended. */
const MAX_UPLOAD_MS = 24 * 3_600_000;

/**
 * Ends uploads and removes staging objects that processes of this node left when they died, and uploads to bodies' keys that
 * are older than a day. What a live process or another node makes stays. Gives how many.
 */
export async function recoverS3(
  objects: S3Objects,
  uploads: S3Uploads,
  keys: S3Keys,
  clock: Clock,
  options: CallOptions,
): Promise<number> {
  const isDead = (key: string): boolean => !isProcessAlive(keys.ownerOf(key));
  const oldest = clock.now() - MAX_UPLOAD_MS;
  const staged = (await uploads.list(keys.staging, options)).filter(({ key }) => isDead(key));
  const stray = (await uploads.list(keys.bodies, options)).filter(
    ({ initiatedAt }) => initiatedAt < oldest,
  );
  for (const { key, id } of [...staged, ...stray]) await uploads.abort(key, id);
  let count = staged.length + stray.length;
  let token: string | undefined;
  do {
    const page = await objects.page(keys.staging, undefined, token, options);
    for (const { key } of page.objects) {
      if (!isDead(key)) continue;
      await objects.delete(key, options);
      count++;
    }
    token = page.next;
  } while (token !== undefined);
  return count;
}
