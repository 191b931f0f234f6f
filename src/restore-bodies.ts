import { type BackupNote, openBackupBody } from './backup-folder.ts';
import type { CallOptions } from './body.ts';
import { copyBody } from './copy-body.ts';
import { kindOf, messageOf } from './errors.ts';
import { type HouseParts, storesOf } from './house-parts.ts';
import type { BodyRow } from './house-schemas.ts';
import { type NamedBody, namedBodies } from './manifest/manifest-copy.ts';
import { isDigest } from './storage/digest.ts';
import { workThrough } from './work-queue.ts';

/** What `restoreBodies` reads. */
export interface RestoreBodiesInput {
  /** Absolute path of the backup. */
  readonly folder: string;
  readonly note: BackupNote;
  /** Path of the manifest whose rows name the bodies. */
  readonly manifest: string;
  readonly concurrency: number;
}

/** So many bodies that a store refuses in a row end it: the rest would fare no better. */
const MAX_REFUSALS = 20;

/**
 * Puts the bodies of a backup into the stores of the rules whose rows name them, each checked against its digest; those of rules that
 * are no more into the first store. Throws `unavailable` when a store goes on refusing, `aborted`.
 */
export async function* restoreBodies(
  parts: HouseParts,
  { folder, note, manifest, concurrency }: RestoreBodiesInput,
  options: CallOptions,
): AsyncGenerator<BodyRow> {
  const missing = new Set(note.missing);
  let refusals = 0;
  yield* workThrough(
    namedBodies(manifest),
    concurrency,
    async (body, { signal }): Promise<BodyRow> => {
      const row = { digest: body.digest, size: body.size };
      if (missing.has(body.digest) || !isDigest(body.digest)) return { ...row, outcome: 'missing' };
      try {
        const isNew = await putInto(parts, folder, body, { signal });
        refusals = 0;
        return { ...row, outcome: isNew ? 'copied' : 'there' };
      } catch (error) {
        signal.throwIfAborted();
        if (kindOf(error) === 'unavailable' && ++refusals >= MAX_REFUSALS) throw error;
        return { ...row, outcome: 'failed', problem: messageOf(error) };
      }
    },
    options,
  );
}

/** False: it was there already, in each store that it belongs to. */
async function putInto(
  parts: HouseParts,
  folder: string,
  { digest, size, rules }: NamedBody,
  options: CallOptions,
): Promise<boolean> {
  if (!isDigest(digest)) return false;
  let isNew = false;
  for (const store of await storesOf(parts, rules)) {
    if ((await store.stat(digest, options))?.size === size) continue;
    const body = await openBackupBody(folder, digest, size);
    await copyBody({ digest, size, body }, store, parts.spool, options);
    isNew = true;
  }
  return isNew;
}
