import type { ComponentType } from '../../src/component.ts';
import { configTypes } from '../fixtures/config-types.ts';

/** The component types that the files below test/fixtures/config are checked with. */
export const knownTypes: readonly ComponentType[] = configTypes;
