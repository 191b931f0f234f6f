import { randomBytes } from 'node:crypto';
import { openDatabase } from '../sqlite/open-database.ts';
import { workerEntry } from '../sqlite/worker-entry.ts';
import { WriterThread } from '../sqlite/writer-thread.ts';

/** A body that rows name. */
export interface NamedBody {
  /** As the rows have it. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  /** Rules that stored it, in order of name. */
  readonly rules: readonly string[];
}

/** Rows read at a time. */
const PAGE = 500;

/** Looks through a manifest that lies aside, in a thread of its own. False: it is damaged. */
export async function isManifestWhole(path: string): Promise<boolean> {
  const entry = workerEntry(new URL('./database-check-thread.ts', import.meta.url));
  await using thread = new WriterThread<string, boolean>({ entry });
  return await thread.request(path);
}

/** Every body that a manifest's rows name, once, in order of digest; read page by page. Throws the library's error. */
export function* namedBodies(path: string): Generator<NamedBody> {
  const database = openDatabase(path, { readOnly: true });
  try {
    const page = database.prepare<[string, number], [string, number, string]>(
      `SELECT digest, max(size), json_group_array(DISTINCT rule) FROM entries
       WHERE deleted = 0 AND digest > ? GROUP BY digest ORDER BY digest LIMIT ?`,
    );
    page.raw();
    for (let after = ''; ; ) {
      const rows = page.all(after, PAGE) as unknown as [string, number, string][];
      for (const [digest, size, rules] of rows) {
        yield { digest, size, rules: (JSON.parse(rules) as string[]).sort() };
        after = digest;
      }
      if (rows.length < PAGE) return;
    }
  } finally {
    database.close();
  }
}

/** How many bodies `namedBodies` gives, and their bytes. */
export function namedTotal(path: string): { readonly bodies: number; readonly bytes: number } {
  const database = openDatabase(path, { readOnly: true });
  try {
    const row = database
      .prepare(
        `SELECT count(*), coalesce(sum(size), 0) FROM (
           SELECT max(size) AS size FROM entries WHERE deleted = 0 GROUP BY digest)`,
      )
      .raw()
      .get() as [number, number];
    return { bodies: row[0], bytes: row[1] };
  } finally {
    database.close();
  }
}

/** Gives every namespace of a manifest that lies aside a new epoch: cursors from before are answered with `gone`. */
export function beginNewEpochs(path: string): void {
  const database = openDatabase(path);
  try {
    const names = database.prepare('SELECT nsid FROM namespaces').pluck().all() as number[];
    const update = database.prepare('UPDATE namespaces SET epoch = ? WHERE nsid = ?');
    database.transaction(() => {
      for (const nsid of names) update.run(randomBytes(8).toString('hex'), nsid);
    })();
  } finally {
    database.close();
  }
}
