import type { JournalPage, JournalRow } from './manifest.ts';
import { journalStart, MAX_LIMIT, readable } from './manifest-pages.ts';
import type { ReaderAccess } from './reader-access.ts';

/** Which rows of the journal are wanted. */
export interface JournalQuery {
  readonly namespace: string;
  /** `epoch:jid`; '' from the start. */
  readonly since: string;
  readonly limit: number;
  /** True: every row; false: of each key and variant only the newest. */
  readonly all: boolean;
  /** Longest wait for something new. Milliseconds. */
  readonly waitMs: number;
}

/**
 * A page of one namespace's journal without rows that a later change of the same key and variant has overtaken. Throws as
 * `journalPage`.
 */
export function latestPage(
  access: ReaderAccess,
  namespace: string,
  since: string,
  limit: number,
): JournalPage {
  return readable(access, (reader) => {
    const row = reader.readNamespaces().find(({ name }) => name === namespace);
    const start = journalStart(row, namespace, since);
    if (row === undefined) return { rows: [], cursor: '' };
    const wanted = Math.max(1, Math.min(limit, MAX_LIMIT));
    const rows: JournalRow[] = reader.latest(row, start, wanted);
    // Fewer than asked for: everything up to the newest number was looked at.
    const end = rows.length < wanted ? row.nextJid - 1 : (rows.at(-1)?.jid ?? start);
    return { rows, cursor: `${row.epoch}:${end}` };
  });
}

/** How far a database has come in one namespace; `at`: when its newest change was made, in milliseconds since the epoch. */
export interface Newest {
  readonly cursor: string;
  /** Absent: the journal holds no change any more. */
  readonly at?: number | undefined;
}

/** The newest change of each namespace that is whole. Empty where the database cannot be read now. */
export function newestChanges(access: ReaderAccess): Readonly<Record<string, Newest>> {
  const rows = access.read((reader) =>
    reader.inTransaction((database) =>
      database
        .prepare<[], { name: string; cursor: string; at: number | null }>(
          `SELECT name, epoch || ':' || (next_jid - 1) AS cursor,
             (SELECT at FROM journal WHERE journal.nsid = namespaces.nsid ORDER BY jid DESC LIMIT 1) AS at
           FROM namespaces WHERE epoch <> '' ORDER BY name`,
        )
        .all(),
    ),
  );
  return Object.fromEntries(
    (rows ?? []).map(({ name, cursor, at }) => [name, { cursor, at: at ?? undefined }]),
  );
}
