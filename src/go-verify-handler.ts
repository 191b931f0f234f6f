import { buffer } from 'node:stream/consumers';
import type { Body, CallOptions } from './body.ts';
import { messageOf, ProxyError } from './errors.ts';
import { chooseGoRule, type GoParts, namespaceOf, openGoRule } from './go-rules.ts';
import type { SumdbRow } from './go-schemas.ts';
import { goModHash } from './gomod/dirhash.ts';
import { readGoproxyFile } from './gomod/goproxy-folder.ts';
import type { SumdbClient } from './gomod/sumdb-client.ts';
import { hashModuleZip } from './gomod/zip-hash.ts';
import type { Entry } from './manifest/entry.ts';
import { parseDigest } from './storage/digest.ts';
import { workThrough } from './work-queue.ts';

interface Kept {
  readonly entry: Entry;
  readonly file: 'mod' | 'zip';
  readonly module: string;
  readonly version: string;
}

/** Files looked at at once. */
const CONCURRENCY = 8;
/** Rows asked for at a time. */
const PAGE = 500;

/** How many files there are to compare. Throws `invalid` for the rule. */
export async function sumsTotal(
  parts: GoParts,
  input: { readonly rule?: string | undefined },
  { signal }: CallOptions,
): Promise<{ readonly files: number }> {
  let files = 0;
  for await (const _kept of keptFiles(parts, namespaceOf(chooseGoRule(parts.config, input.rule)))) {
    signal?.throwIfAborted();
    files += 1;
  }
  return { files };
}

/**
 * Compares each kept zip and go.mod with the proven record of a checksum database that the rule passes through; of several the
 * first that knows the version counts. Throws `invalid` for the rule or a database without a known key, `aborted`.
 */
export async function* verifySums(
  parts: GoParts,
  input: { readonly rule?: string | undefined },
  options: CallOptions,
): AsyncGenerator<SumdbRow> {
  const { protocol, namespace, config } = await openGoRule(parts, input.rule);
  const databases = protocol.openSumdbs();
  if (databases.length === 0)
    throw new ProxyError(
      'invalid',
      'go-verify.open',
      `rule ${config.name} passes no checksum database through: name one under its sumdb`,
    );
  yield* workThrough(
    keptFiles(parts, namespace),
    CONCURRENCY,
    async (kept, { signal }): Promise<SumdbRow> => {
      const { module, version, file } = kept;
      const row = { module, version, file };
      if (protocol.hidesSums(module, version)) return { ...row, outcome: 'skipped' };
      const verdict = await verdictOf(parts, databases, kept, signal);
      signal.throwIfAborted();
      return { ...row, ...verdict };
    },
    options,
  );
}

async function* keptFiles({ manifest }: GoParts, namespace: string): AsyncGenerator<Kept> {
  let after: string | undefined;
  do {
    const page = await manifest.list({ namespace, after, limit: PAGE });
    for (const entry of page.entries) {
      const read = entry.status === 200 ? readGoproxyFile(entry.key) : undefined;
      if (read?.file !== 'mod' && read?.file !== 'zip') continue;
      const { file, module, version } = read;
      yield { entry, file, module, version };
    }
    after = page.next;
  } while (after !== undefined);
}

type Verdict = Omit<SumdbRow, 'module' | 'version' | 'file'>;

async function verdictOf(
  parts: GoParts,
  databases: readonly SumdbClient[],
  kept: Kept,
  signal: AbortSignal,
): Promise<Verdict> {
  let h1: string | undefined;
  try {
    h1 = kept.entry.h1 ?? (await hashOf(parts, kept, signal));
  } catch (error) {
    return { outcome: 'unverified', problem: messageOf(error) };
  }
  try {
    const expected = await expectedOf(databases, kept, signal);
    if (expected === undefined) return { h1, outcome: 'unknown' };
    if (expected === h1) return { h1, expected, outcome: 'ok' };
    const problem = `what is kept has ${h1}, the checksum database says ${expected}`;
    return { h1, expected, outcome: 'mismatch', problem };
  } catch (error) {
    return { h1, outcome: 'unverified', problem: messageOf(error) };
  }
}

async function expectedOf(
  databases: readonly SumdbClient[],
  { module, version, file }: Kept,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const database of databases) {
    const record = await database.lookup(module, version, { signal });
    if (record !== undefined) return record[file];
  }
  return undefined;
}

async function hashOf(
  parts: GoParts,
  { entry, module, version, file }: Kept,
  signal: AbortSignal,
): Promise<string> {
  const body = await openBody(parts, entry, signal);
  if (file === 'mod') return goModHash(await buffer(body));
  const { hashThread: thread } = parts;
  const { h1, problem, unknown } = await hashModuleZip(body, { module, version, thread });
  if (h1 !== undefined) return h1;
  throw new ProxyError('unprocessable', 'go-verify.hash', `no hash: ${problem ?? unknown}`);
}

async function openBody(parts: GoParts, entry: Entry, signal: AbortSignal): Promise<Body> {
  for (const [, backend] of await parts.backends()) {
    const opened = await backend.open(parseDigest(entry.digest), { signal });
    if (opened) return opened.body;
  }
  throw new ProxyError('not-found', 'go-verify.open', 'its body is missing');
}
