import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CallOptions } from './body.ts';
import { ownBodies } from './gc.ts';
import type { Entry } from './manifest/entry.ts';
import type { Manifest } from './manifest/manifest.ts';
import { type Backend, isComposed, isScrubbable, type Stat } from './storage/backend.ts';
import { isDigest } from './storage/digest.ts';
import type { Amount, DuRuleRow, DuStorageRow } from './storage-schemas.ts';

/** What is counted. */
export interface DuParts {
  readonly manifest: Manifest;
  readonly backends: readonly (readonly [string, Backend])[];
}

/** Entries asked for at a time, and bodies of them that are looked for at once. */
const PAGE = 200;

/**
 * How much lies where: a row for each storage, then one for each rule and namespace. Both are walked page by page. Throws
 * `unavailable` where a storage or the manifest cannot be asked, `aborted`.
 */
export async function* countUsage(
  parts: DuParts,
  options: CallOptions,
): AsyncGenerator<DuStorageRow | DuRuleRow> {
  const stores = parts.backends.filter(([, backend]) => !isComposed(backend));
  for (const [storage, backend] of stores)
    yield await usageOf(storage, backend, parts.manifest, options);
  yield* await usageByRule({ ...parts, backends: stores }, options);
}

async function usageOf(
  storage: string,
  backend: Backend,
  manifest: Manifest,
  options: CallOptions,
): Promise<DuStorageRow> {
  const bodies = new Sum();
  const orphaned = new Sum();
  const quarantined = new Sum();
  for await (const body of inTurns(backend.list(undefined, options), options)) bodies.add(body);
  for await (const body of ownBodies(backend, options))
    if (!(await manifest.isReferenced(body.digest))) orphaned.add(body);
  if (isScrubbable(backend))
    for await (const body of backend.quarantined(options)) quarantined.add(body);
  return {
    kind: 'storage',
    storage,
    bodies: bodies.amount,
    orphaned: orphaned.amount,
    quarantined: quarantined.amount,
  };
}

async function usageByRule(
  { manifest, backends }: DuParts,
  { signal }: CallOptions,
): Promise<readonly DuRuleRow[]> {
  const rules = new Map<string, { entries: Sum; missing: Sum; of: readonly [string, string] }>();
  let after: string | undefined;
  do {
    await nextTurn();
    signal?.throwIfAborted();
    const page = await manifest.list({ after, limit: PAGE });
    const there = await Promise.all(page.entries.map((entry) => isKept(backends, entry, signal)));
    for (const [index, entry] of page.entries.entries()) {
      const of = [entry.namespace, entry.rule] as const;
      const key = JSON.stringify(of);
      const sums = rules.get(key) ?? { entries: new Sum(), missing: new Sum(), of };
      rules.set(key, sums);
      sums.entries.add(entry);
      if (there[index] !== true) sums.missing.add(entry);
    }
    after = page.next;
  } while (after !== undefined);
  return [...rules.values()].map(({ entries, missing, of: [namespace, rule] }) => ({
    kind: 'rule',
    namespace,
    rule,
    entries: entries.amount,
    missing: missing.amount,
  }));
}

async function isKept(
  backends: DuParts['backends'],
  { digest }: Entry,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (!isDigest(digest)) return false;
  for (const [, backend] of backends) if (await backend.stat(digest, { signal })) return true;
  return false;
}

async function* inTurns(
  bodies: AsyncIterable<Stat>,
  { signal }: CallOptions,
): AsyncGenerator<Stat> {
  let seen = 0;
  for await (const body of bodies) {
    signal?.throwIfAborted();
    if (++seen % PAGE === 0) await nextTurn();
    yield body;
  }
}

class Sum {
  #count = 0;
  #bytes = 0;

  get amount(): Amount {
    return { count: this.#count, bytes: this.#bytes };
  }

  add({ size }: { readonly size: number }): void {
    this.#count += 1;
    this.#bytes += size;
  }
}
