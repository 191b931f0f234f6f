import { join } from 'node:path';
import { SystemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { type Stasher, type StasherWrapper, wrapStasher } from '../../src/stashers/stasher.ts';
import { StoreStasher } from '../../src/stashers/store-stasher.ts';
import type { Backend } from '../../src/storage/backend.ts';
import { BodyCache } from '../../src/storage/body-cache.ts';
import { DiskBackend } from '../../src/storage/disk-backend.ts';
import { MemoryBackend } from '../../src/storage/memory-backend.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import type { StasherPlace } from '../contract/stasher.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { GatedBackend } from '../support/gated-backend.ts';
import { openIn } from '../support/manifest-fixtures.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** What a wrapper may need of the place it is used in. */
export type WrappersOf = (place: Omit<StasherPlace, 'stasher'>) => readonly StasherWrapper[];

/** A store stasher over a real manifest and a real backend in a folder of its own. */
export async function storePlace(
  kind: 'memory' | 'disk',
  wrappers: WrappersOf = () => [],
): Promise<StasherPlace> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const clock = new FakeClock();
  const log = new RecordedLog();
  const metrics = new Metrics();
  const manifest = stack.use(await openIn(folder.path, { metrics }));
  const inner = await backendIn(folder.path, kind, stack, metrics);
  const backend = stack.use(new GatedBackend(inner));
  const cache = new BodyCache();
  const common = { backend, manifest, cache, clock, log, metrics };
  const store: Stasher = new StoreStasher({ name: 'keep', ...common });
  const parts = { ...common, [Symbol.asyncDispose]: async () => {} };
  const stasher = wrapStasher(store, ...wrappers(parts));
  const rest = stack.move();
  return {
    ...common,
    stasher,
    [Symbol.asyncDispose]: async () => await rest.disposeAsync(),
  };
}

async function backendIn(
  folder: string,
  kind: 'memory' | 'disk',
  stack: AsyncDisposableStack,
  metrics: Metrics,
): Promise<Backend> {
  const common = { name: 'local', clock: new SystemClock(), log: silentLogger, metrics };
  if (kind === 'memory') return new MemoryBackend(common);
  const path = join(folder, 'node.db');
  const database = stack.use(await NodeDatabase.open({ ...common, path }));
  const keepFree = { kind: 'bytes', bytes: 0 } as const;
  return new DiskBackend({ ...common, root: join(folder, 'blobs'), database, keepFree });
}
