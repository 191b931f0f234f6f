import { join } from 'node:path';
import { type RecoverOptions, recover } from './recovery.ts';
import { Scrubber, sleepLong } from './scrubber.ts';
import { type RepairParts, repairBodies } from './storage-repair.ts';

/** What a running node keeps in order. */
export interface UpkeepOptions extends RecoverOptions {
  readonly config: RepairParts['config'];
  readonly nodeId: string;
  readonly build: RepairParts['build'];
  /** Absolute path of the data folder. */
  readonly dataDir: string;
}

/** Nodes that share a bucket and were started together do not all list it at the same time. */
const JITTER = 0.1;

/**
 * Looks after the storages in the background until the signal fires: first what was left behind, then every body in turn, and
 * once in `gc.period` what nobody needs any more. Never rejects.
 */
export async function keepUp(options: UpkeepOptions): Promise<void> {
  const { backends, dataDir, signal } = options;
  let tidied = recover(options);
  // One at a time.
  const tidy = async (): Promise<void> => {
    tidied = tidied.then(async () => await recover(options));
    await tidied;
  };
  await tidied;
  const parts: RepairParts = { ...options, backends: async () => backends };
  const scrubber = new Scrubber({
    ...options,
    cursorPath: join(dataDir, 'scrub.json'),
    repair: (digests, to) => repairBodies(parts, digests, to),
    tidy,
  });
  await Promise.all([scrubber.run(signal), repeat(tidy, options)]);
}

async function repeat(
  tidy: () => Promise<void>,
  { config, clock, signal }: UpkeepOptions,
): Promise<void> {
  const { periodMs } = config.gc;
  if (periodMs === 0) return;
  const wait = async (): Promise<boolean> =>
    await sleepLong(clock, periodMs * (1 + JITTER * (2 * Math.random() - 1)), signal).then(
      () => true,
      () => false,
    );
  while (await wait()) await tidy();
}
