import { createReadStream } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeBackupFile } from './backup-file.ts';
import { bodyPlace, MANIFESTS, manifestPlace, mayHoldBackup, NOTE } from './backup-folder.ts';
import { bodyOf, copyManifest, type ManifestCopy, rowsPath } from './backup-parts.ts';
import type { Body, CallOptions } from './body.ts';
import { messageOf, ProxyError } from './errors.ts';
import { ExportFolder } from './export-folder.ts';
import type { HouseParts } from './house-parts.ts';
import type { BackupInput, BodyRow, HouseTotal } from './house-schemas.ts';
import { type NamedBody, namedBodies, namedTotal } from './manifest/manifest-copy.ts';
import { isDigest } from './storage/digest.ts';
import { workThrough } from './work-queue.ts';

/** How much `backup` would look at. */
export function backupTotal(parts: HouseParts): HouseTotal {
  return namedTotal(rowsPath(parts));
}

/**
 * Writes the manifest, as it is at one moment, and the bodies that its rows name into a folder or one archive; then the note that makes
 * it a backup, unless something failed. Throws `invalid` for a place of something else, `conflict` while it is written into or where an
 * archive is there, `integrity` for a damaged manifest, `aborted`.
 */
export async function* backup(
  parts: HouseParts,
  input: BackupInput,
  options: CallOptions,
): AsyncGenerator<BodyRow> {
  if (!input.isFile && !(await mayHoldBackup(input.place)))
    throw new ProxyError(
      'invalid',
      'backup-handler.open',
      `${input.place} holds something else than a backup: name an empty folder`,
    );
  await using copy = await copyManifest(parts, options);
  if (input.isFile) yield* writeBackupFile(parts, input.place, copy, options);
  else yield* writeBackupFolder(parts, input, copy, options);
}

/** What an earlier backup left there is used. */
async function* writeBackupFolder(
  parts: HouseParts,
  { place, concurrency }: BackupInput,
  copy: ManifestCopy,
  options: CallOptions,
): AsyncGenerator<BodyRow> {
  const { digest, size, path } = copy;
  await using folder = await ExportFolder.open(place, { isPrivate: true });
  const open = async (): Promise<Body> => await Promise.resolve(createReadStream(path));
  await folder.put({ path: manifestPlace(digest), digest, size, open });
  const missing: string[] = [];
  let failed = 0;
  const rows = workThrough(
    namedBodies(path),
    concurrency,
    async (body, { signal }) => await save(parts, folder, body, signal),
    options,
  );
  for await (const row of rows) {
    if (row.outcome === 'missing') missing.push(row.digest);
    if (row.outcome === 'failed') failed += 1;
    yield row;
  }
  if (failed > 0) return;
  await folder.putText(NOTE, `${JSON.stringify(copy.note(missing), undefined, 2)}\n`);
  await removeOthers(join(place, MANIFESTS), `${digest}.db`);
}

async function save(
  parts: HouseParts,
  folder: ExportFolder,
  { digest, size }: NamedBody,
  signal: AbortSignal,
): Promise<BodyRow> {
  const row = { digest, size };
  try {
    if (!isDigest(digest)) return { ...row, outcome: 'missing' };
    const path = bodyPlace(digest);
    const open = async (): Promise<Body> => {
      const body = await bodyOf(parts, digest, size, { signal });
      if (body === undefined) throw new NotKept();
      return body;
    };
    const outcome = await folder.put({ path, digest, size, open });
    return { ...row, outcome: outcome === 'written' ? 'copied' : 'there' };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof NotKept) return { ...row, outcome: 'missing' };
    return { ...row, outcome: 'failed', problem: messageOf(error) };
  }
}

/** No storage has the body: its row is only a miss. */
class NotKept extends Error {}

async function removeOthers(folder: string, keep: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name !== keep) await rm(join(folder, name), { force: true });
  }
}
