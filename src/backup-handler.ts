import { createReadStream } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  type BackupNote,
  bodyPlace,
  MANIFESTS,
  manifestPlace,
  mayHoldBackup,
  NOTE,
} from './backup-folder.ts';
import type { Body, CallOptions } from './body.ts';
import { messageOf, ProxyError } from './errors.ts';
import { ExportFolder } from './export-folder.ts';
import type { HouseParts } from './house-parts.ts';
import type { BackupInput, BodyRow, HouseTotal } from './house-schemas.ts';
import {
  isManifestWhole,
  type NamedBody,
  namedBodies,
  namedTotal,
} from './manifest/manifest-copy.ts';
import { backupDatabase } from './sqlite/backup-database.ts';
import { blocksOfFile, type Digest, isDigest } from './storage/digest.ts';
import { VERSION } from './version.ts';
import { workThrough } from './work-queue.ts';

/** How much `backup` would look at. */
export function backupTotal(parts: HouseParts): HouseTotal {
  return namedTotal(manifestPath(parts));
}

/**
 * Writes the manifest, as it is at one moment, and the bodies that its rows name into a folder; then the note that makes it a
 * backup, unless something failed. What an earlier backup left there is used. Throws `invalid` for the folder, `conflict` while it is
 * written into, `integrity` for a damaged manifest, `aborted`.
 */
export async function* backup(
  parts: HouseParts,
  input: BackupInput,
  options: CallOptions,
): AsyncGenerator<BodyRow> {
  if (!(await mayHoldBackup(input.folder)))
    throw new ProxyError(
      'invalid',
      'backup-handler.open',
      `${input.folder} holds something else than a backup: name an empty folder`,
    );
  await using folder = await ExportFolder.open(input.folder, { isPrivate: true });
  await using copy = await copyManifest(parts, options);
  const { digest, size, path, createdAt } = copy;
  const open = async (): Promise<Body> => await Promise.resolve(createReadStream(path));
  await folder.put({ path: manifestPlace(digest), digest, size, open });
  const missing: string[] = [];
  let failed = 0;
  const rows = workThrough(
    namedBodies(path),
    input.concurrency,
    async (body, { signal }) => await save(parts, folder, body, signal),
    options,
  );
  for await (const row of rows) {
    if (row.outcome === 'missing') missing.push(row.digest);
    if (row.outcome === 'failed') failed += 1;
    yield row;
  }
  if (failed > 0) return;
  const note: BackupNote = {
    ...{ format: 'caje-backup', version: 1, caje: VERSION, createdAt },
    manifest: { digest, size },
    ...namedTotal(path),
    missing,
  };
  await folder.putText(NOTE, `${JSON.stringify(note, undefined, 2)}\n`);
  await removeOthers(join(input.folder, MANIFESTS), `${digest}.db`);
}

/** A copy of the manifest that is gone when it is disposed. */
interface ManifestCopy extends AsyncDisposable {
  readonly path: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
}

async function copyManifest(parts: HouseParts, options: CallOptions): Promise<ManifestCopy> {
  const { path, handle } = await parts.spool.create();
  const remove = async (): Promise<void> => {
    for (const suffix of ['', '-journal', '-wal', '-shm']) await rm(path + suffix, { force: true });
  };
  try {
    await handle.close();
    const createdAt = Date.now();
    await backupDatabase(manifestPath(parts), path, options);
    if (!(await isManifestWhole(path)))
      throw new ProxyError(
        'integrity',
        'backup-handler.manifest',
        'the manifest is damaged: an earlier backup stays as it is',
      );
    const { digest, size } = await blocksOfFile(path);
    return { path, digest, size, createdAt, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
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
      for (const [, backend] of await parts.backends()) {
        const opened = await backend.open(digest, { signal });
        if (opened?.size === size) return opened.body;
        opened?.body.destroy();
      }
      throw new NotKept();
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

function manifestPath({ config }: HouseParts): string {
  return resolve(config.data, config.manifest.path);
}
