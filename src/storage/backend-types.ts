import { resolve } from 'node:path';
import { z } from 'zod';
import { type ComponentType, componentType } from '../component.ts';
import { type Amount, sizeOrPercentage } from '../values.ts';
import type { Backend } from './backend.ts';
import { BODY_CACHE } from './body-cache.ts';
import { DiskBackend } from './disk-backend.ts';
import type { Durability } from './durability.ts';
import { PINS } from './eviction.ts';
import { MemoryBackend } from './memory-backend.ts';
import { NODE_DATABASE } from './node-database.ts';
import {
  limitsOf,
  type QuotaKeys,
  quotaKeys,
  WATERS_IN_ORDER,
  watersAreInOrder,
} from './quota-options.ts';
import { s3BackendType } from './s3-backend-type.ts';
import { tieredBackendType } from './tiered-backend-type.ts';

interface MemoryOptions extends QuotaKeys {
  readonly verify: boolean;
}

interface DiskOptions extends MemoryOptions {
  readonly path: string;
  readonly keepFree?: Amount | undefined;
  readonly durability: Durability;
}

const common = {
  verify: z.boolean().default(true).describe('check each block before it is sent'),
  ...quotaKeys(),
};

const diskOptions: z.ZodType<DiskOptions> = z
  .strictObject({
    ...common,
    path: z
      .string()
      .min(1)
      .default('blobs')
      .describe('folder of the bodies; relative paths start from the data folder'),
    keepFree: sizeOrPercentage()
      .optional()
      .describe('free space that writes leave; absent: the larger of 5% and 1GiB; 0: none'),
    durability: z
      .enum(['full', 'os'])
      .default('full')
      .describe(
        'full: on disk before its row; os: the system writes it back, the power may take it',
      ),
  })
  .refine(watersAreInOrder, WATERS_IN_ORDER)
  .refine(({ durability, verify }) => durability === 'full' || verify, {
    path: ['verify'],
    message: 'expected true with durability: os: only digests tell what a power cut damaged',
  });

const memoryOptions: z.ZodType<MemoryOptions> = z
  .strictObject(common)
  .refine(watersAreInOrder, WATERS_IN_ORDER);

/** `type: disk`: a folder of this machine. */
export const diskBackendType: ComponentType<unknown, Backend> = componentType<DiskOptions, Backend>(
  {
    kind: 'backend',
    type: 'disk',
    options: diskOptions,
    create: (options, context) => {
      const { name, clock, log, metrics, dataDir } = context;
      const { verify, keepFree, durability } = options;
      const root = resolve(dataDir, options.path);
      const database = context.service(NODE_DATABASE);
      const cache = context.service(BODY_CACHE);
      return new DiskBackend({
        name,
        root,
        database,
        cache,
        clock,
        log,
        metrics,
        verify,
        keepFree,
        durability,
        limits: limitsOf(options),
        pins: context.service(PINS),
      });
    },
  },
);

/** `type: memory`: this process's memory. */
export const memoryBackendType: ComponentType<unknown, Backend> = componentType<
  MemoryOptions,
  Backend
>({
  kind: 'backend',
  type: 'memory',
  options: memoryOptions,
  create: (options, context) => {
    const { name, clock, log, metrics } = context;
    const { verify } = options;
    const limits = limitsOf(options);
    const pins = context.service(PINS);
    return new MemoryBackend({ name, clock, log, metrics, verify, limits, pins });
  },
});

/** The types of backend that come with caje. */
export function createBackendTypes(): readonly ComponentType<unknown, Backend>[] {
  return [diskBackendType, memoryBackendType, s3BackendType, tieredBackendType];
}
