import { rm } from 'node:fs/promises';
import type { BackupNote } from './backup-folder.ts';
import type { Body, CallOptions } from './body.ts';
import { ProxyError } from './errors.ts';
import type { HouseParts } from './house-parts.ts';
import { isManifestWhole, namedTotal } from './manifest/manifest-copy.ts';
import { backupDatabase } from './sqlite/backup-database.ts';
import { blocksOfFile, type Digest } from './storage/digest.ts';
import { VERSION } from './version.ts';

/** A copy of the manifest that is gone when it is disposed. */
export interface ManifestCopy extends AsyncDisposable {
  readonly path: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** The note of a backup with it. */
  note(missing: readonly string[]): BackupNote;
}

/** Copies the manifest as it is at one moment, and looks it through. Throws `integrity` where it is damaged, `unavailable` where not all rows are here, `aborted`. */
export async function copyManifest(parts: HouseParts, options: CallOptions): Promise<ManifestCopy> {
  const { path, handle } = await parts.spool.create();
  const remove = async (): Promise<void> => {
    for (const suffix of ['', '-journal', '-wal', '-shm']) await rm(path + suffix, { force: true });
  };
  try {
    await handle.close();
    const createdAt = Date.now();
    await backupDatabase(rowsPath(parts), path, options);
    if (!(await isManifestWhole(path)))
      throw new ProxyError(
        'integrity',
        'backup-parts.manifest',
        'the manifest is damaged: an earlier backup stays as it is',
      );
    const { digest, size } = await blocksOfFile(path);
    const note = (missing: readonly string[]): BackupNote => ({
      ...{ format: 'caje-backup', version: 1, caje: VERSION, createdAt },
      manifest: { digest, size },
      ...namedTotal(path),
      missing,
    });
    return { path, digest, size, note, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** A body of that size from the first store that has it. Absent: none has. */
export async function bodyOf(
  { backends }: HouseParts,
  digest: Digest,
  size: number,
  options: CallOptions,
): Promise<Body | undefined> {
  for (const [, backend] of await backends()) {
    const opened = await backend.open(digest, options);
    if (opened?.size === size) return opened.body;
    opened?.body.destroy();
  }
  return undefined;
}

/** Where the rows in use are read. Throws `unavailable` while they are not all there. */
export function rowsPath({ manifest }: HouseParts): string {
  if (manifest.isReadable) return manifest.rowsPath;
  const message = 'this node has not caught up with LiteFS yet';
  throw new ProxyError('unavailable', 'backup-parts.rows', message);
}
