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
