import { z } from 'zod';
import { type ComponentType, componentType } from '../component.ts';
import type { Backend } from './backend.ts';
import { NODE_DATABASE } from './node-database.ts';
import { TieredBackend } from './tiered-backend.ts';
import { START_RELAY } from './tiered-refills.ts';

/** `type: tiered`: a near store before a far one, both named. */
export const tieredBackendType: ComponentType<unknown, Backend> = componentType({
  kind: 'backend',
  type: 'tiered',
  options: z
    .strictObject({
      near: z.string().min(1).describe('name of the storage that is read first'),
      far: z.string().min(1).describe('name of the storage that has everything'),
    })
    .refine(({ near, far }) => near !== far, {
      path: ['far'],
      message: 'expected another storage than near',
    }),
  references: ({ near, far }) => [
    { kind: 'backend', name: near },
    { kind: 'backend', name: far },
  ],
  create: async (options, context) => {
    const { name, clock, log, metrics } = context;
    // Both are made before this one, and so closed after it.
    const far = await context.component<Backend>('backend', options.far);
    const near = await context.component<Backend>('backend', options.near);
    const database = context.service(NODE_DATABASE);
    const startRelay = context.service(START_RELAY);
    return new TieredBackend({ name, near, far, database, startRelay, clock, log, metrics });
  },
});
