import type { CallOptions } from '../body.ts';
import { isProcessAlive } from '../process-identity.ts';
import type { Digest } from './digest.ts';
import type { S3Keys, S3Staging } from './s3-keys.ts';
import type { S3Object, S3Objects } from './s3-objects.ts';
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

/** What nobody works on any more. */
export interface S3Leftovers {
  /** Uploads that are open. */
  readonly uploads: readonly S3Upload[];
  /** Staging objects, by their key. */
  readonly objects: readonly S3Object[];
}

/**
 * Ends uploads and removes staging objects that nobody works on any more. Of this node: what its dead processes left. Of other
 * nodes: what stood still for a day. Keys that caje did not make are left alone. Gives how many went.
 */
export async function recoverS3(
  recovery: S3RecoveryOptions,
  options: CallOptions,
): Promise<number> {
  const left = await leftoversOfS3(recovery, options);
  for (const { key, id } of left.uploads) await recovery.uploads.abort(key, id);
  // Marks go last: until then they say which uploads are nobody's.
  for (const { key } of left.objects) await recovery.objects.delete(key, options);
  return left.uploads.length + left.objects.length;
}

/** What `recoverS3` would end and remove. */
export async function leftoversOfS3(
  { objects, uploads, keys, now }: S3RecoveryOptions,
  options: CallOptions,
): Promise<S3Leftovers> {
  // Uploads before marks: who copies to a body's key has set its mark before it began.
  const open = [
    ...(await uploads.list(keys.staging, options)),
    ...(await uploads.list(keys.bodies, options)),
  ];
  const isOld = (at: number): boolean => at < now() - ABANDONED_MS;
  const isLeft = ({ node, process }: S3Staging, at: number): boolean =>
    node === keys.node && process !== undefined ? !isProcessAlive(process) : isOld(at);
  const dead: S3Object[] = [];
  const marks = { live: new Set<Digest>(), dead: new Set<Digest>() };
  for await (const object of objects.all(keys.staging, options)) {
    const { key, modifiedAt } = object;
    const staging = keys.stagingOf(key);
    if (staging === undefined) continue;
    const left = isLeft(staging, modifiedAt);
    if (left) dead.push(object);
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
  const abandoned: S3Upload[] = [];
  for (const upload of open) if (await isAbandoned(upload)) abandoned.push(upload);
  return { uploads: abandoned, objects: dead };
}
