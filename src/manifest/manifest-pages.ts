import { setImmediate as nextTurn } from 'node:timers/promises';
import { ProxyError } from '../errors.ts';
import type { Entry, Jid } from './entry.ts';
import type { EntryPage, JournalPage, JournalRow, ListOptions, SeenOptions } from './manifest.ts';
import type { ManifestReader, NamespaceRow, ReadEntries } from './manifest-reader.ts';
import type { ReaderAccess } from './reader-access.ts';
import type { KeyPosition, SeenPosition } from './row-pages.ts';

/** Rows or entries of one page, at most. */
export const MAX_LIMIT = 1000;
/** Rows read at a time while a filter skips most of them: the event loop turns in between. */
const CHUNK_ROWS = 500;

type After = readonly [namespace: string, key: string, variant: string];

/** Says which of the entries read count. */
export type Visible = (read: ReadEntries) => readonly Entry[];

/** A page of entries. Throws `unavailable` when the database cannot be read, `invalid` for an `after` of no page of the kind. */
export async function listEntries(
  { namespace, prefix = '', suffix = '', rule, after, limit }: ListOptions,
  access: ReaderAccess,
  visible: Visible,
): Promise<EntryPage> {
  const wanted = Math.max(1, Math.min(limit, MAX_LIMIT));
  const from = after === undefined ? undefined : parseAfter(after, namespace);
  const entries: Entry[] = [];
  for (const row of namespacesOf(access, namespace, from)) {
    const start: KeyPosition | undefined = row.name === from?.[0] ? [from[1], from[2]] : undefined;
    const more = await gather(entries, wanted, start, (position, missing) => {
      const filter = { suffix, limit: rule === undefined ? missing : CHUNK_ROWS };
      const read = readable(access, (reader) => reader.page(row, filter, prefix, position));
      const found = visible(read).filter((entry) => rule === undefined || entry.rule === rule);
      return { found, next: read.next };
    });
    if (more) return { entries, next: formatAfter(entries.at(-1) as Entry) };
  }
  return { entries };
}

/** A page of entries by when they were first seen. Throws as `listEntries`. */
export async function seenEntries(
  { namespace, since, suffix = '', after, limit }: SeenOptions,
  access: ReaderAccess,
  visible: Visible,
): Promise<EntryPage> {
  const wanted = Math.max(1, Math.min(limit, MAX_LIMIT));
  const start = after === undefined ? undefined : parseSeen(after);
  const [row] = namespacesOf(access, namespace, undefined);
  if (row === undefined) return { entries: [] };
  const entries: Entry[] = [];
  const more = await gather(entries, wanted, start, (position, missing) => {
    const filter = { suffix, limit: missing };
    const read = readable(access, (reader) => reader.seen(row, filter, since, position));
    return { found: visible(read), next: read.next };
  });
  return more ? { entries, next: formatSeen(entries.at(-1) as Entry) } : { entries };
}

/** Fills `entries` up to `wanted` from a position on. True: there is more. */
async function gather<Position>(
  entries: Entry[],
  wanted: number,
  start: Position | undefined,
  read: (
    position: Position | undefined,
    missing: number,
  ) => { readonly found: readonly Entry[]; readonly next?: Position | undefined },
): Promise<boolean> {
  let position = start;
  for (;;) {
    const { found, next } = read(position, wanted - entries.length + 1);
    for (const entry of found) {
      if (entries.length === wanted) return true;
      entries.push(entry);
    }
    if (next === undefined) return false;
    position = next;
    await nextTurn();
  }
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
    const start = journalStart(row, namespace, since);
    if (row === undefined) return { rows: [], cursor: '' };
    const rows: JournalRow[] = reader.journal(row, start, Math.max(1, Math.min(limit, MAX_LIMIT)));
    return { rows, cursor: `${row.epoch}:${rows.at(-1)?.jid ?? start}` };
  });
}

/** The number that a cursor stands for. Throws as `journalPage`. */
export function journalStart(row: NamespaceRow | undefined, namespace: string, since: string): Jid {
  if (row !== undefined) return since === '' ? row.firstJid - 1 : parseCursor(row, since);
  if (since !== '') throw gone(namespace, since);
  return 0;
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

/** What `work` gives. Throws its `ProxyError`, and `unavailable` when the database cannot be read. */
export function readable<Result>(
  access: ReaderAccess,
  work: (reader: ManifestReader) => Result,
): Result {
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
  return formatPosition([namespace, key, variant] satisfies After);
}

function parseAfter(text: string, only: string | undefined): After {
  const [namespace, key, variant] = parsePosition(text);
  if (!isText(namespace) || !isText(key) || !isText(variant)) throw noPosition(text);
  if (only !== undefined && only !== namespace) throw noPosition(text);
  return [namespace, key, variant];
}

function formatSeen({ firstSeenAt, key, variant }: Entry): string {
  return formatPosition([firstSeenAt, key, variant] satisfies SeenPosition);
}

function parseSeen(text: string): SeenPosition {
  const [at, key, variant] = parsePosition(text);
  if (typeof at !== 'number' || !isText(key) || !isText(variant)) throw noPosition(text);
  return [at, key, variant];
}

function formatPosition(parts: readonly unknown[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

function parsePosition(text: string): readonly unknown[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (Array.isArray(parts) && parts.length === 3) return parts;
  } catch {
    // The same answer as for a list of the wrong things.
  }
  throw noPosition(text);
}

function isText(part: unknown): part is string {
  return typeof part === 'string';
}

function noPosition(text: string): ProxyError {
  return new ProxyError(
    'invalid',
    'manifest-pages.list',
    `not a position in this list: ${JSON.stringify(text.slice(0, 80))}`,
  );
}
