import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CallOptions } from './body.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import { messageOf } from './errors.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { SpoolFolder } from './stashers/spool-folder.ts';
import {
  type Backend,
  isComposed,
  isRecoverer,
  isScrubbable,
  isShared,
  type Leftover,
  type Stat,
} from './storage/backend.ts';
import type { Digest } from './storage/digest.ts';
import type { GcProgress, GcRow } from './storage-schemas.ts';

/** What is cleaned up, and what says what may go. */
export interface GcParts {
  readonly spool: SpoolFolder;
  readonly backends: readonly (readonly [string, Backend])[];
  readonly manifest: Manifest;
  readonly config: { readonly gc: Omit<Config['gc'], 'periodMs'> };
  readonly clock: Clock;
  /** Asked before bodies without an entry go; true: they stay. Absent: they go. */
  readonly sparesOrphans?: (() => Promise<boolean>) | undefined;
}

/** How it is cleaned up. */
export interface GcOptions extends CallOptions {
  /** True: nothing is removed, only told. Absent: false. */
  readonly dryRun?: boolean | undefined;
}

/** One part of the work, which may fail without the others. */
export interface GcStep {
  readonly what: GcRow['what'];
  /** Absent: the spool. */
  readonly storage?: string | undefined;
  /** What goes, as it goes. Throws what the storage throws; it can be begun anew at any time. */
  run(): AsyncGenerator<GcRow | GcProgress>;
}

/** Bodies looked at before others get their turn on the event loop, and before it is said how far it is. */
const BATCH = 200;

/**
 * The steps that remove what nobody needs: spool files, temporary files, staging keys and uploads of processes that are gone;
 * bodies that no entry names and that are older than `gc.orphanGrace`; damaged bodies put aside for longer than `gc.quarantine`.
 * Never what a live process writes, a body that an entry names, is about to name, or that another node put into a shared store.
 */
export function gcSteps(parts: GcParts, options: GcOptions): readonly GcStep[] {
  const steps: GcStep[] = [{ what: 'spool', run: () => sweepSpool(parts, options) }];
  for (const [storage, backend] of parts.backends) {
    const of = { storage, backend, parts, options };
    if (isRecoverer(backend))
      steps.push({ what: 'leftover', storage, run: () => sweepLeftovers(of) });
    // What it is composed of has its own turn.
    if (isComposed(backend)) continue;
    steps.push({ what: 'orphan', storage, run: () => removeOrphans(of) });
    steps.push({ what: 'quarantined', storage, run: () => emptyQuarantine(of) });
  }
  return steps;
}

/** All steps one after the other; one that fails is a row of its own. Throws `aborted` alone. */
export async function* collectGarbage(
  parts: GcParts,
  options: GcOptions,
): AsyncGenerator<GcRow | GcProgress> {
  let seen = 0;
  for (const { what, storage, run } of gcSteps(parts, options)) {
    try {
      for await (const item of run()) {
        if (item.what !== 'seen') yield item;
        else {
          seen += item.bodies;
          yield { what: 'seen', bodies: seen };
        }
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      const problem = messageOf(error);
      yield { what, storage, count: 0, name: 'all', size: 0, outcome: 'failed', problem };
    }
  }
}

interface Of {
  readonly storage: string;
  readonly backend: Backend;
  readonly parts: GcParts;
  readonly options: GcOptions;
}

async function* sweepSpool({ spool }: GcParts, options: GcOptions): AsyncGenerator<GcRow> {
  yield* sweep({ what: 'spool' }, spool.leftovers(), async () => await spool.recover(), options);
}

async function* sweepLeftovers({ storage, backend, options }: Of): AsyncGenerator<GcRow> {
  if (!isRecoverer(backend)) return;
  const { signal } = options;
  const recover = async (): Promise<number> => await backend.recover({ signal });
  yield* sweep({ what: 'leftover', storage }, backend.leftovers?.({ signal }), recover, options);
}

// Named before they go, since a sweep only counts; what is not known by name, such as files without a row, comes as a number.
async function* sweep(
  row: Pick<GcRow, 'what' | 'storage'>,
  leftovers: AsyncIterable<Leftover> | undefined,
  recover: () => Promise<number>,
  { dryRun = false }: GcOptions,
): AsyncGenerator<GcRow> {
  const named = leftovers === undefined ? [] : await Array.fromAsync(leftovers);
  const removed = dryRun ? named.length : await recover();
  const outcome = dryRun ? 'would remove' : 'removed';
  for (const { name, size } of named.slice(0, removed))
    yield { ...row, count: 1, name, size, outcome };
  const rest = removed - named.length;
  if (rest > 0) yield { ...row, count: rest, name: `${rest} without a name`, size: 0, outcome };
}

// A body is younger than its row while it is being committed, hence the grace.
async function* removeOrphans(of: Of): AsyncGenerator<GcRow | GcProgress> {
  const { storage, backend, parts, options } = of;
  const { manifest, config, clock } = parts;
  const { signal, dryRun } = options;
  if (await parts.sparesOrphans?.()) return;
  const before = clock.now() - config.gc.orphanGraceMs;
  let seen = 0;
  for await (const { digest, size, modifiedAt } of ownBodies(backend, { signal })) {
    if (++seen % BATCH === 0) yield { what: 'seen', bodies: BATCH };
    if (modifiedAt > before || (await manifest.isReferenced(digest))) continue;
    const row = { what: 'orphan', storage, count: 1, name: digest, size } as const;
    if (dryRun === true) {
      yield { ...row, outcome: 'would remove' };
      continue;
    }
    // Asked again at the end: the same body may be put and named while it is removed.
    const unless = async (): Promise<boolean> => await manifest.isReferenced(digest);
    if (await backend.delete(digest, { signal, unless })) yield { ...row, outcome: 'removed' };
  }
  yield { what: 'seen', bodies: seen % BATCH };
}

async function* emptyQuarantine({ storage, backend, parts, options }: Of): AsyncGenerator<GcRow> {
  if (!isScrubbable(backend)) return;
  const { signal, dryRun } = options;
  const before = parts.clock.now() - parts.config.gc.quarantineMs;
  for await (const { digest, size, modifiedAt } of backend.quarantined({ signal })) {
    signal?.throwIfAborted();
    if (modifiedAt > before) continue;
    const row = { what: 'quarantined', storage, count: 1, name: digest, size } as const;
    if (dryRun === true) yield { ...row, outcome: 'would remove' };
    else if (await backend.release(digest, { signal })) yield { ...row, outcome: 'removed' };
  }
}

/**
 * What this node put into a backend, in order of digest, after `after`: in a shared one the rest may be named by another node's
 * manifest. Others get their turn on the event loop meanwhile.
 */
export async function* ownBodies(
  backend: Backend,
  { signal }: CallOptions,
  after?: Digest,
): AsyncGenerator<Stat> {
  const bodies = isShared(backend) ? backend.listOwn({ signal }) : backend.list(after, { signal });
  let seen = 0;
  for await (const body of bodies) {
    if (++seen % BATCH === 0) await nextTurn();
    signal?.throwIfAborted();
    if (after === undefined || body.digest > after) yield body;
  }
}
