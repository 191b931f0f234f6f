import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import { messageOf } from './errors.ts';
import type { Logger } from './log.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { Metrics } from './metrics.ts';
import type { SpoolFolder } from './stashers/spool-folder.ts';
import { type Backend, isComposed, isRecoverer, isShared } from './storage/backend.ts';

export interface RecoverOptions {
  readonly folder: SpoolFolder;
  readonly backends: readonly (readonly [string, Backend])[];
  readonly manifest: Manifest;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
}

/** Bodies looked at before others get their turn on the event loop. */
const BATCH = 200;

/**
 * Removes in the background what a dead process left: spool files, temporary files, staging keys, open uploads, and bodies
 * that no row names and that are older than `gc.orphanGrace`. Never rejects; what fails is logged and tried at the next start.
 */
export async function recover(options: RecoverOptions): Promise<void> {
  const { folder, backends, log, metrics, signal } = options;
  await step('spool', options, async () => await folder.recover());
  for (const [name, backend] of backends) {
    if (isRecoverer(backend))
      await step(`leftovers of ${name}`, options, async () => await backend.recover({ signal }));
    // What it is composed of has its own turn.
    if (isComposed(backend)) continue;
    await step(`orphans of ${name}`, options, async () => await removeOrphans(backend, options));
  }
  if (!signal.aborted)
    log.debug({ recovered: metrics.value('recovered_total') }, 'recovery is done');
}

async function step(
  what: string,
  options: RecoverOptions,
  work: () => Promise<number>,
): Promise<void> {
  if (options.signal.aborted) return;
  try {
    const removed = await work();
    if (removed === 0) return;
    options.metrics.count('recovered_total', what.split(' ')[0], removed);
    options.log.info({ what, removed }, 'removed what an earlier process left');
  } catch (error) {
    if (!options.signal.aborted)
      options.log.warn({ what, err: messageOf(error) }, 'leftovers could not be removed');
  }
}

// A blob is younger than its row while it is being committed, hence the grace.
async function removeOrphans(backend: Backend, options: RecoverOptions): Promise<number> {
  const { manifest, config, clock, signal } = options;
  const before = clock.now() - config.gc.orphanGraceMs;
  let removed = 0;
  let seen = 0;
  const bodies = isShared(backend)
    ? backend.listOwn({ signal })
    : backend.list(undefined, { signal });
  for await (const { digest, modifiedAt } of bodies) {
    if (++seen % BATCH === 0) await new Promise((resolve) => setImmediate(resolve));
    if (signal.aborted) break;
    if (modifiedAt > before || (await manifest.isReferenced(digest))) continue;
    // Asked again at the end: the same body may be put and named while it is removed.
    const unless = async (): Promise<boolean> => await manifest.isReferenced(digest);
    if (await backend.delete(digest, { signal, unless })) removed += 1;
  }
  return removed;
}
