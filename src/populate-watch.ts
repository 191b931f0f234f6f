import type { CallOptions } from './body.ts';
import type { Clock } from './clock.ts';
import type { Rule } from './config/config.ts';
import { kindOf, messageOf } from './errors.ts';
import { GO_PROTOCOL, namespaceOf } from './go-rules.ts';
import type { Logger } from './log.ts';
import type { Entry } from './manifest/entry.ts';
import type { JournalRow } from './manifest/manifest.ts';
import { readCursors, writeCursors } from './populate-cursors.ts';
import { HTTP_NAMESPACE } from './protocol/http-protocol.ts';
import { isDigest } from './storage/digest.ts';
import { fetchAgain, type RepairParts } from './storage-repair.ts';
import { workThrough } from './work-queue.ts';

/** What a watch works with. */
export interface WatchParts extends RepairParts {
  readonly clock: Clock;
  readonly log: Logger;
}

/** How a watch goes about it. */
export interface WatchOptions extends CallOptions {
  /** Milliseconds between two looks at the journal. */
  readonly intervalMs: number;
  /** Bodies at once. */
  readonly concurrency: number;
  /** Only what this rule stored. Absent: every rule. */
  readonly rule?: string | undefined;
  /** File that holds how far the journal was followed. */
  readonly cursorPath: string;
}

/** What became of one entry whose body was not here. */
export interface Watched {
  readonly key: string;
  readonly rule: string;
  /** `replaced`: fetched, and another body by now. */
  readonly outcome: 'fetched' | 'replaced' | 'failed';
  /** Bytes. */
  readonly size: number;
  /** Why it failed. Absent: it did not. */
  readonly problem?: string | undefined;
}

/** Rows of the journal read at a time. */
const PAGE = 500;

/**
 * Follows the journal and fetches the bodies of new entries that this node does not have, as their next request would. What was
 * evicted is left alone: nothing in the journal speaks of it. A namespace is followed from where an earlier watch ended, else
 * from now on. Goes on until the signal fires; never rejects for an entry or a manifest that cannot be read, which it tries again.
 */
export async function* watchMissing(
  parts: WatchParts,
  options: WatchOptions,
): AsyncGenerator<Watched> {
  const { clock, log } = parts;
  const { signal, intervalMs, cursorPath } = options;
  const cursors = new Map(Object.entries(await readCursors(cursorPath)));
  const isOver = (): boolean => signal?.aborted === true;
  while (!isOver()) {
    for (const namespace of namespacesOf(parts.config.rules)) {
      try {
        yield* follow(parts, namespace, cursors, options);
      } catch (error) {
        if (isOver()) return;
        log.warn({ namespace, err: messageOf(error) }, 'the journal cannot be followed now');
      }
    }
    // Ends early when the signal fires; the loop looks at it.
    await clock.sleep(intervalMs, { signal }).catch(() => {});
  }
}

async function* follow(
  parts: WatchParts,
  namespace: string,
  cursors: Map<string, string>,
  options: WatchOptions,
): AsyncGenerator<Watched> {
  const { manifest, log } = parts;
  for (;;) {
    options.signal?.throwIfAborted();
    const since = cursors.get(namespace) ?? (await endOf(parts, namespace));
    let page: Awaited<ReturnType<typeof manifest.journal>>;
    try {
      page = await manifest.journal(namespace, since, PAGE);
    } catch (error) {
      if (kindOf(error) !== 'gone') throw error;
      log.warn(
        { namespace, since },
        'the journal no longer reaches back: it is followed from now on',
      );
      cursors.delete(namespace);
      continue;
    }
    yield* fetchMissing(parts, page.rows, options);
    if (page.cursor === cursors.get(namespace)) return;
    cursors.set(namespace, page.cursor);
    await writeCursors(options.cursorPath, Object.fromEntries(cursors));
    if (page.rows.length < PAGE) return;
  }
}

/** Cursor of the newest change. '': the namespace has none yet, so that its first one is new. */
async function endOf({ manifest }: WatchParts, namespace: string): Promise<string> {
  const { cursor } = await manifest.journal(namespace, '', 1);
  const [epoch, first] = cursor.split(':');
  // Who knows no number yet must not ask from before what is kept.
  return cursor === '' ? '' : `${epoch}:${Math.max(Number(first), manifest.position(namespace))}`;
}

async function* fetchMissing(
  parts: WatchParts,
  rows: readonly JournalRow[],
  options: WatchOptions,
): AsyncGenerator<Watched> {
  const keys = new Map<string, JournalRow>();
  for (const row of rows)
    if (row.op === 'put' && row.digest !== undefined) keys.set(`${row.key}\n${row.variant}`, row);
  const results = workThrough(
    keys.values(),
    options.concurrency,
    async (row, { signal }) => await fetchRow(parts, row, options, signal),
    options,
  );
  for await (const watched of results) if (watched !== undefined) yield watched;
}

/** Absent: there is nothing to fetch. */
async function fetchRow(
  parts: WatchParts,
  { namespace, key, variant, digest }: JournalRow,
  { rule }: WatchOptions,
  signal: AbortSignal,
): Promise<Watched | undefined> {
  const entries = await parts.manifest.lookup(namespace, key);
  const entry = entries.find((one) => one.variant === variant && one.digest === digest);
  if (entry === undefined || (rule !== undefined && entry.rule !== rule)) return undefined;
  if (await isHere(parts, entry)) return undefined;
  const { size } = entry;
  try {
    const got = await fetchAgain(parts, entry, signal);
    const outcome = got === 'repaired' ? 'fetched' : got;
    parts.metrics.count('populated_total', outcome);
    return { key, rule: entry.rule, outcome, size };
  } catch (error) {
    signal.throwIfAborted();
    parts.metrics.count('populated_total', 'failed');
    return { key, rule: entry.rule, outcome: 'failed', size, problem: messageOf(error) };
  }
}

async function isHere({ backends }: WatchParts, { digest }: Entry): Promise<boolean> {
  if (!isDigest(digest)) return true;
  for (const [, backend] of await backends())
    if (await backend.stat(digest).catch(() => undefined)) return true;
  return false;
}

function namespacesOf(rules: readonly Rule[]): ReadonlySet<string> {
  return new Set(
    rules.map((rule) =>
      rule.protocol === GO_PROTOCOL ? namespaceOf(rule) : (rule.namespace ?? HTTP_NAMESPACE),
    ),
  );
}
