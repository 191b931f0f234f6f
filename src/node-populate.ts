import { join } from 'node:path';
import { type WatchParts, watchMissing } from './populate-watch.ts';

/** What a node that populates works with. */
export interface NodePopulateOptions {
  /** Where the place in the journal is kept, as by `caje populate --watch`. */
  readonly dataDir: string;
  /** Milliseconds between two looks at the journal. */
  readonly intervalMs: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

/** Bodies at once: requests come first. */
const CONCURRENCY = 2;

/** File in the data folder that holds how far the journal was followed. */
export const POPULATE_CURSORS = 'populate.json';

/** Fetches, beside what the node does for clients, the bodies of entries that others made. Resolves when the signal fired and nothing is under way; never rejects. */
export async function populateInNode(
  parts: WatchParts,
  { dataDir, intervalMs, signal }: NodePopulateOptions,
): Promise<void> {
  const { log } = parts;
  const cursorPath = join(dataDir, POPULATE_CURSORS);
  const to = { intervalMs, concurrency: CONCURRENCY, cursorPath, signal };
  try {
    for await (const { key, rule, outcome, problem } of watchMissing(parts, to)) {
      if (problem === undefined) log.debug({ key, rule, outcome }, 'a body was fetched ahead');
      else log.warn({ key, rule, err: problem }, 'a body could not be fetched ahead');
    }
  } catch (error) {
    if (!signal.aborted) log.error({ err: String(error) }, 'nothing is fetched ahead any more');
  }
}
