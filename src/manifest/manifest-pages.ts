import { setImmediate as nextTurn } from 'node:timers/promises';
import { ProxyError } from '../errors.ts';
import type { Entry, Jid } from './entry.ts';
import type { EntryPage, JournalPage, JournalRow, ListOptions } from './manifest.ts';
import type { ManifestReader, NamespaceRow, ReadEntries } from './manifest-reader.ts';
import type { ReaderAccess } from './reader-access.ts';

const MAX_LIMIT = 1000;
/** Rows read at a time while a filter skips most of them: the event loop turns in between. */
const CHUNK_ROWS = 500;

type After = readonly [namespace: string, key: string, variant: string];

/** A page of entries; `visible` says which of those read count. Throws `unavailable` when the database cannot be read. */
export async function listEntries(
  { namespace, prefix = '', rule, after, limit }: ListOptions,
  access: ReaderAccess,
  visible: (read: ReadEntries) => readonly Entry[],
): Promise<EntryPage> {
  const wanted = Math.max(1, Math.min(limit, MAX_LIMIT));
  const from = after === undefined ? undefined : parseAfter(after);
  const entries: Entry[] = [];
  for (const row of namespacesOf(access, namespace, from)) {
    let position: readonly [string, string] | undefined =
      row.name === from?.[0] ? [from[1], from[2]] : undefined;
    for (;;) {
      const start = position;
      const chunk = rule === undefined ? wanted - entries.length + 1 : CHUNK_ROWS;
      const read = readable(access, (reader) => reader.page(row, prefix, start, chunk));
      for (const entry of visible(read)) {
        if (rule !== undefined && entry.rule !== rule) continue;
        if (entries.length === wanted)
          return { entries, next: formatAfter(entries.at(-1) as Entry) };
        entries.push(entry);
      }
      if (read.rows < chunk) break;
      position = read.last;
      await nextTurn();
    }
  }
  return { entries };
}

/** A page of one namespace's journal. Throws `gone` for a cursor of another epoch or older than what is kept, `invalid` for none at all. */
export function journalPage(
  access: ReaderAccess,
  namespace: string,
  since: string,
  limit: number,
): JournalPage {
  return readable(access, (reader) => {
    const row = reader.readNamespaces().find(({ name }) => name === namespace);
    if (row === undefined) {
      if (since !== '') throw gone(namespace, since);
      return { rows: [], cursor: '' };
    }
    const start = since === '' ? row.firstJid - 1 : parseCursor(row, since);
    const rows: JournalRow[] = reader.journal(row, start, Math.max(1, Math.min(limit, MAX_LIMIT)));
    return { rows, cursor: `${row.epoch}:${rows.at(-1)?.jid ?? start}` };
  });
}

function parseCursor(row: NamespaceRow, cursor: string): Jid {
  const [, epoch, digits] = /^([0-9a-f]+):(\d{1,15})$/.exec(cursor) ?? [];
  if (epoch === undefined) {
    throw new ProxyError(
      'invalid',
      'manifest-pages.journal',
      `not a cursor: ${JSON.stringify(cursor.slice(0, 80))}; use the one of the page before, or ''`,
    );
  }
  const jid = Number(digits);
  if (epoch !== row.epoch || jid < row.firstJid - 1 || jid >= row.nextJid)
    throw gone(row.name, cursor);
  return jid;
}

function gone(namespace: string, cursor: string): ProxyError {
  return new ProxyError(
    'gone',
    'manifest-pages.journal',
    `the journal of ${namespace} no longer reaches back to ${cursor}; start from ''`,
  );
}

function namespacesOf(
  access: ReaderAccess,
  only: string | undefined,
  from: After | undefined,
): readonly NamespaceRow[] {
  const rows = readable(access, (reader) => reader.readNamespaces());
  return rows.filter(
    ({ name }) => (only === undefined || name === only) && (from === undefined || name >= from[0]),
  );
}

function readable<Result>(access: ReaderAccess, work: (reader: ManifestReader) => Result): Result {
  let failure: ProxyError | undefined;
  const result = access.read((reader) => {
    try {
      return { value: work(reader) };
    } catch (error) {
      // What the caller did wrong says nothing about the database.
      if (!(error instanceof ProxyError)) throw error;
      failure = error;
      return undefined;
    }
  });
  if (failure !== undefined) throw failure;
  if (result === undefined)
    throw new ProxyError('unavailable', 'manifest-pages.read', 'the manifest cannot be read now');
  return result.value;
}

function formatAfter({ namespace, key, variant }: Entry): string {
  return Buffer.from(JSON.stringify([namespace, key, variant] satisfies After)).toString(
    'base64url',
  );
}

function parseAfter(text: string): After {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (
      Array.isArray(parts) &&
      parts.length === 3 &&
      parts.every((part) => typeof part === 'string')
    ) {
      return parts as unknown as After;
    }
  } catch {
    // The same answer as for a list of the wrong things.
  }
  throw new ProxyError(
    'invalid',
    'manifest-pages.list',
    `not a position in a list: ${JSON.stringify(text.slice(0, 80))}`,
  );
}
