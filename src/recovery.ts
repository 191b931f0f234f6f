import { messageOf } from './errors.ts';
import { type GcParts, type GcStep, gcSteps } from './gc.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { GcRow } from './storage-schemas.ts';

export interface RecoverOptions extends GcParts {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly signal: AbortSignal;
}

/** Labels of `recovered_total`. */
const LABELS: Readonly<Record<GcRow['what'], string>> = {
  spool: 'spool',
  leftover: 'leftovers',
  orphan: 'orphans',
  quarantined: 'quarantined',
};

/**
 * Removes in the background what a dead process left and what nobody needs any more: the steps of `caje gc`.
 * Never rejects; what fails is logged and tried at the next start.
 */
export async function recover(options: RecoverOptions): Promise<void> {
  const { log, metrics, signal } = options;
  for (const step of gcSteps(options, { signal })) await runStep(step, options);
  if (!signal.aborted)
    log.debug({ recovered: metrics.value('recovered_total') }, 'recovery is done');
}

async function runStep(
  { what, storage, run }: GcStep,
  { log, metrics, signal }: RecoverOptions,
): Promise<void> {
  if (signal.aborted) return;
  let removed = 0;
  try {
    for await (const item of run()) if (item.what !== 'seen') removed += item.count;
  } catch (error) {
    if (!signal.aborted)
      log.warn({ what, storage, err: messageOf(error) }, 'leftovers could not be removed');
  }
  if (removed === 0) return;
  metrics.count('recovered_total', LABELS[what], removed);
  log.info({ what, storage, removed }, 'removed what an earlier process left');
}
