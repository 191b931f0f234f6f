import { join } from 'node:path';
import { type RecoverOptions, recover } from './recovery.ts';
import { Scrubber } from './scrubber.ts';
import { type RepairParts, repairBodies } from './storage-repair.ts';

/** What a running node keeps in order. */
export interface UpkeepOptions extends RecoverOptions {
  readonly config: RepairParts['config'];
  readonly nodeId: string;
  readonly build: RepairParts['build'];
  /** Absolute path of the data folder. */
  readonly dataDir: string;
}

/** Looks after the storages in the background until the signal fires: first what was left behind, then every body in turn. Never rejects. */
export async function keepUp(options: UpkeepOptions): Promise<void> {
  const { backends, signal, dataDir } = options;
  await recover(options);
  const parts: RepairParts = { ...options, backends: async () => backends };
  const scrubber = new Scrubber({
    ...options,
    cursorPath: join(dataDir, 'scrub.json'),
    repair: (digests, to) => repairBodies(parts, digests, to),
    tidy: async () => await recover(options),
  });
  await scrubber.run(signal);
}
