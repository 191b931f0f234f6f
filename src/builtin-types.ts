import type { ComponentType } from './component.ts';
import { demoFetcherType } from './demo-fetcher-type.ts';
import { createFetcherTypes } from './fetchers/fetcher-types.ts';
import { createProtocolTypes } from './protocol/protocol-types.ts';
import { createStasherTypes } from './stashers/stasher-types.ts';
import { createBackendTypes } from './storage/backend-types.ts';

/** Every component type that comes with caje. */
export const builtinTypes: readonly ComponentType[] = [
  ...createFetcherTypes(),
  demoFetcherType,
  ...createBackendTypes(),
  ...createStasherTypes(),
  ...createProtocolTypes(),
] as readonly ComponentType[];
