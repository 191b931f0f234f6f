import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CallOptions } from './body.ts';
import type { Clock } from './clock.ts';
import { didYouMean, listNames } from './config/suggest.ts';
import { countUsage } from './du-handler.ts';
import { messageOf, ProxyError } from './errors.ts';
import { collectGarbage } from './gc.ts';
import type { ControlHandler } from './http/control-socket.ts';
import { parseInput } from './operator-input.ts';
import type { StoredTotal } from './operator-schemas.ts';
import type { SpoolFolder } from './stashers/spool-folder.ts';
import { type Backend, isComposed, isScrubbable, type Stat } from './storage/backend.ts';
import type { Digest } from './storage/digest.ts';
import { type RepairParts, repairBodies } from './storage-repair.ts';
import {
  type GcInput,
  type GcProgress,
  type GcRow,
  gcInput,
  type VerifyRow,
  verifyInput,
} from './storage-schemas.ts';

/** What the commands that keep the storages in order work on, in a running node or without one. */
export interface StorageParts extends RepairParts {
  readonly spool: SpoolFolder;
  readonly clock: Clock;
}

/** Bodies counted before others get their turn on the event loop. */
const TURN = 500;
/** Damaged bodies remembered before they are repaired. */
const BATCH = 1000;

/** The commands that keep the storages in order, by name: `gc`, `du`, `verify`, and `stored`. */
export function createStorageHandlers(
  parts: StorageParts,
): Readonly<Record<string, ControlHandler>> {
  return {
    gc: (input, options) => gc(parts, parseInput(gcInput, input), options),
    du: (_, options) => du(parts, options),
    verify: (input, options) => verify(parts, parseInput(verifyInput, input), options),
    stored: async (input) => await countBodies(parts, parseInput(verifyInput, input)),
  };
}

async function* gc(
  parts: StorageParts,
  { storage, dryRun }: GcInput,
  { signal }: CallOptions,
): AsyncGenerator<GcRow | GcProgress> {
  const all = await parts.backends();
  const backends = storage === undefined ? all : [chosen(all, storage)];
  yield* collectGarbage({ ...parts, backends }, { signal, dryRun });
}

async function* du(parts: StorageParts, options: CallOptions): ReturnType<typeof countUsage> {
  yield* countUsage({ ...parts, backends: await parts.backends() }, options);
}

async function* verify(
  parts: StorageParts,
  { storage, repair }: { readonly storage?: string | undefined; readonly repair: boolean },
  { signal }: CallOptions,
): AsyncGenerator<VerifyRow> {
  const bad = new Map<Digest, VerifyRow>();
  for (const [name, backend] of await readBy(parts, storage)) {
    for await (const { digest, size } of backend.list(undefined, { signal })) {
      signal?.throwIfAborted();
      const problem = await readWhole(backend, { digest, size }, { signal });
      // Removed since it was listed: no fault of the storage's.
      if (problem === 'absent') continue;
      const row = { storage: name, digest, size, ok: problem === undefined, problem };
      if (row.ok || !repair) yield row;
      else bad.set(digest, row);
      if (bad.size >= BATCH) yield* repaired(parts, bad, { signal });
    }
    if (repair) await addQuarantined(parts, [name, backend], bad, { signal });
    yield* repaired(parts, bad, { signal });
  }
}

async function* repaired(
  parts: StorageParts,
  bad: Map<Digest, VerifyRow>,
  options: CallOptions,
): AsyncGenerator<VerifyRow> {
  for await (const { digest, repair, problem } of repairBodies(
    parts,
    new Set(bad.keys()),
    options,
  )) {
    const row = bad.get(digest);
    if (row === undefined) continue;
    bad.delete(digest);
    const why = problem === undefined ? row.problem : `${row.problem}; not repaired: ${problem}`;
    yield { ...row, repair, problem: why };
  }
}

// What was found damaged earlier, by whomever, and not asked for since.
async function addQuarantined(
  { backends, manifest }: StorageParts,
  [storage, backend]: readonly [string, Backend],
  bad: Map<Digest, VerifyRow>,
  { signal }: CallOptions,
): Promise<void> {
  if (!isScrubbable(backend)) return;
  for await (const { digest, size } of backend.quarantined({ signal })) {
    if (bad.has(digest) || !(await manifest.isReferenced(digest))) continue;
    let isThere = false;
    for (const [, other] of await backends())
      isThere ||= (await other.stat(digest, { signal })) !== undefined;
    if (!isThere) {
      const problem = 'it was found damaged before';
      bad.set(digest, { storage, digest, size, ok: false, problem });
    }
  }
}

async function countBodies(
  parts: StorageParts,
  { storage }: { readonly storage?: string | undefined },
): Promise<StoredTotal> {
  let bodies = 0;
  let bytes = 0;
  for (const [, backend] of await readBy(parts, storage)) {
    for await (const { size } of backend.list()) {
      if (++bodies % TURN === 0) await nextTurn();
      bytes += size;
    }
  }
  return { bodies, bytes };
}

// Of one that is made of others those are read.
async function readBy(
  parts: StorageParts,
  storage: string | undefined,
): Promise<readonly (readonly [string, Backend])[]> {
  const all = await parts.backends();
  if (storage === undefined) return all.filter(([, backend]) => !isComposed(backend));
  const [name, backend] = chosen(all, storage);
  return isComposed(backend) ? backend.tiers.map((tier) => [tier.name, tier]) : [[name, backend]];
}

function chosen(
  backends: readonly (readonly [string, Backend])[],
  storage: string,
): readonly [string, Backend] {
  const found = backends.find(([name]) => name === storage);
  if (found !== undefined) return found;
  const names = backends.map(([name]) => name);
  throw new ProxyError(
    'invalid',
    'storage-handlers.storage',
    `no storage in use is named ${JSON.stringify(storage)}${didYouMean(storage, names)}; there is ${listNames(names)}`,
  );
}

const VERDICTS = {
  whole: undefined,
  damaged: 'it does not match its digest, and was put aside',
  missing: 'it is gone',
  absent: 'absent',
} as const;

// Absent: it is fine. `absent`: it is no longer kept.
async function readWhole(
  backend: Backend,
  { digest, size }: Pick<Stat, 'digest' | 'size'>,
  options: CallOptions,
): Promise<string | undefined> {
  try {
    if (isScrubbable(backend)) {
      const verdict = await backend.scrub(digest, options);
      return VERDICTS[verdict];
    }
    const opened = await backend.open(digest, options);
    if (!opened) return 'it is gone or does not match its digest';
    let bytes = 0;
    for await (const piece of opened.body) bytes += (piece as Buffer).length;
    return bytes === size ? undefined : `it has ${bytes} bytes instead of ${size}`;
  } catch (error) {
    options.signal?.throwIfAborted();
    return messageOf(error);
  }
}
