import { mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PREFIX = 'caje-test-';

/** A folder of its own, removed with all that is in it at the end of `await using`. */
export interface TempDir extends AsyncDisposable {
  readonly path: string;
}

/** Makes an empty folder below the system's temporary folder. */
export async function tempDir(): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), PREFIX));
  return {
    path,
    // A process that was just killed may still be writing its last file.
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** The same for code that cannot wait. */
export function tempDirSync(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), PREFIX));
  return {
    path,
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }),
  };
}
