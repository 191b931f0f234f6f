import { statSync } from 'node:fs';
import { workerEntry } from '../sqlite/worker-entry.ts';
import { WriterThread } from '../sqlite/writer-thread.ts';
import { CHECKED_AT_OPEN_BYTES } from './manifest-database.ts';

/** Checks a database too large to be checked when it was opened, in a thread of its own. False: it is damaged. True also where nothing could be said. */
export async function checkLargeDatabase(path: string): Promise<boolean> {
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size <= CHECKED_AT_OPEN_BYTES) return true;
  const entry = workerEntry(new URL('./database-check-thread.ts', import.meta.url));
  await using thread = new WriterThread<string, boolean>({ entry });
  return await thread.request(path).catch(() => true);
}
