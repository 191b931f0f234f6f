import { SystemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { MemoryBackend } from '../../src/storage/memory-backend.ts';
import { backendContract } from '../contract/backend.ts';
import { quotaContract } from '../contract/backend-quota.ts';

backendContract('memory', async () => {
  const metrics = new Metrics();
  const backend = new MemoryBackend({
    name: 'memory',
    clock: new SystemClock(),
    log: silentLogger,
    metrics,
  });
  return {
    backend,
    leftovers: async () => [],
    flip: async (digest, offset) => {
      // The pieces handed out are the ones that are kept: writing into one damages the body.
      const opened = await backend.open(digest, { range: { start: offset, end: offset } });
      const byte = opened?.bytes;
      if (byte !== undefined) byte[0] = (byte[0] ?? 0) ^ 1;
    },
    corruptions: () => metrics.value('corrupt_blobs_total'),
    dispose: async () => await backend[Symbol.asyncDispose](),
  };
});

quotaContract('memory', async (settings) => {
  const metrics = new Metrics();
  const clock = new SystemClock();
  const backend = new MemoryBackend({
    ...settings,
    ...{ name: 'memory', clock, log: silentLogger, metrics },
  });
  return {
    backend,
    metrics,
    [Symbol.asyncDispose]: async () => await backend[Symbol.asyncDispose](),
  };
});
