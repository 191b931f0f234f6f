import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isProcessAlive, processIdentity } from './process-identity.ts';

/** Mode of a folder that holds a manifest. */
export const FOLDER_MODE = 0o750;

/** A folder of this process's own; disposing removes it with all that is in it. */
export interface StagingFolder extends AsyncDisposable {
  readonly path: string;
}

/**
 * Makes a folder below `parent` in which a manifest lies until it is whole, its name beginning with `prefix`; those that dead
 * processes left go. Throws the file system's error.
 */
export async function makeStaging(parent: string, prefix: string): Promise<StagingFolder> {
  for (const name of await readdir(parent)) {
    if (name.startsWith(prefix) && !isProcessAlive(name.slice(prefix.length)))
      await rm(join(parent, name), { recursive: true, force: true });
  }
  const path = join(parent, prefix + processIdentity());
  await mkdir(path, { mode: FOLDER_MODE });
  const remove = async (): Promise<void> => await rm(path, { recursive: true, force: true });
  return { path, [Symbol.asyncDispose]: remove };
}
