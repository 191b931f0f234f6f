import type { CallOptions } from '../body.ts';
import { isProcessAlive } from '../process-identity.ts';
import type { Digest } from './digest.ts';
import type { S3Keys, S3Staging } from './s3-keys.ts';
import type { S3Objects } from './s3-objects.ts';
import type { S3Upload, S3Uploads } from './s3-uploads.ts';

/**
 * Nobody can ask whether a process of another node lives; but an upload that goes on gets a part sooner than this even at
 * the slowest rate that a fetcher bears.
 */
const ABANDONED_MS = 24 * 3_600_000;

/** Where leftovers are looked for. */
export interface S3RecoveryOptions {
  readonly objects: S3Objects;
  readonly uploads: S3Uploads;
  readonly keys: S3Keys;
  /** Milliseconds since the epoch, by the store's clock. */
  now(): number;
}

/**
 * Ends uploads and removes staging objects that nobody works on any more. Of this node: what its dead processes left. Of other
 * nodes: what stood still for a day. Keys that caje did not make are left alone. Gives how many went.
 */
export async function recoverS3(
  { objects, uploads, keys, now }: S3RecoveryOptions,
  options: CallOptions,
): Promise<number> {
  // Uploads before marks: who copies to a body's key has set its mark before it began.
  const open = [
    ...(await uploads.list(keys.staging, options)),
    ...(await uploads.list(keys.bodies, options)),
  ];
  const isOld = (at: number): boolean => at < now() - ABANDONED_MS;
  const isLeft = ({ node, process }: S3Staging, at: number): boolean =>
    node === keys.node && process !== undefined ? !isProcessAlive(process) : isOld(at);
  const dead: string[] = [];
  const marks = { live: new Set<Digest>(), dead: new Set<Digest>() };
  for await (const { key, modifiedAt } of objects.all(keys.staging, options)) {
    const staging = keys.stagingOf(key);
    if (staging === undefined) continue;
    const left = isLeft(staging, modifiedAt);
    if (left) dead.push(key);
    if (staging.copies !== undefined) marks[left ? 'dead' : 'live'].add(staging.copies);
  }

  const stands = async (upload: S3Upload): Promise<boolean> =>
    isOld(upload.initiatedAt) && isOld((await uploads.lastPartAt(upload, options)) ?? 0);
  const isAbandoned = async (upload: S3Upload): Promise<boolean> => {
    const staging = keys.stagingOf(upload.key);
    if (staging?.process !== undefined)
      return staging.node === keys.node ? isLeft(staging, 0) : await stands(upload);
    const digest = keys.digestOf(upload.key);
    if (digest === undefined) return false;
    return marks.dead.has(digest) && !marks.live.has(digest) ? true : await stands(upload);
  };
  let count = 0;
  for (const upload of open) {
    if (!(await isAbandoned(upload))) continue;
    await uploads.abort(upload.key, upload.id);
    count++;
  }
  // Marks go last: until then they say which uploads are nobody's.
  for (const key of dead) {
    await objects.delete(key, options);
    count++;
  }
  return count;
}
