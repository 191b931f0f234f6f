import { z } from 'zod';
import { type ComponentType, componentType, type ServiceKey } from '../component.ts';
import type { Manifest } from '../manifest/manifest.ts';
import type { Backend } from '../storage/backend.ts';
import { BODY_CACHE } from '../storage/body-cache.ts';
import { duration } from '../values.ts';
import { NoneStasher } from './none-stasher.ts';
import { type Stasher, wrapStasher } from './stasher.ts';
import { StoreStasher } from './store-stasher.ts';
import { withPool } from './with-pool.ts';
import { withTimeout } from './with-timeout.ts';
import { contentDigestCheck, withVerify } from './with-verify.ts';

/** The manifest, for stashers and the pull-through. */
export const MANIFEST: ServiceKey<Manifest> = { description: 'manifest' };

/**
 * Bodies that one stasher keeps at a time: many, since small ones share a transaction and its fsync, and large ones are
 * bounded by the fetches that bring them.
 */
const DEFAULT_CONCURRENT = 512;

/** Memory that bodies may hold while they wait for a slow store: 64 MiB. */
const MAX_WAITING = 64 * 1024 * 1024;

/** Longest time that keeping one body may take: as a slow origin may need for a large one. */
const DEFAULT_TIMEOUT = '10m';

/** `type: store`: keeps bodies in a backend and their rows in the manifest. */
export const storeStasherType: ComponentType<unknown, Stasher> = componentType({
  kind: 'stasher',
  type: 'store',
  options: z.strictObject({
    backend: z.string().describe('Name of a storage component.'),
    concurrent: z.int().min(1).default(DEFAULT_CONCURRENT).describe('Bodies kept at a time.'),
    timeout: duration()
      .prefault(DEFAULT_TIMEOUT)
      .describe('Longest time that keeping one body may take, from its first byte.'),
  }),
  references: ({ backend }) => [{ kind: 'backend', name: backend }],
  async create({ backend, concurrent, timeout }, context) {
    const store = new StoreStasher({
      name: context.name,
      backend: await context.component<Backend>('backend', backend),
      manifest: context.service(MANIFEST),
      cache: context.service(BODY_CACHE),
      clock: context.clock,
      log: context.log,
      metrics: context.metrics,
    });
    // Met in this order: the pool, then the limit (so that waiting does not count), then the check.
    return wrapStasher(
      store,
      withVerify(contentDigestCheck, context),
      withTimeout(timeout),
      withPool(concurrent, {
        maxWaitingBytes: MAX_WAITING,
        metrics: context.metrics,
        log: context.log,
      }),
    );
  },
});

/** `type: none`: keeps nothing. */
export const noneStasherType: ComponentType<unknown, Stasher> = componentType({
  kind: 'stasher',
  type: 'none',
  options: z.strictObject({}),
  create: (_options, context) => new NoneStasher(context.name),
});

/** The stashers that come with caje. */
export function createStasherTypes(): ComponentType<unknown, Stasher>[] {
  return [storeStasherType, noneStasherType];
}
