import { builtinTypes } from '../../src/builtin-types.ts';
import type { ComponentType } from '../../src/component.ts';

/** The component types that the files below test/fixtures/config and the documentation are checked with. */
export const knownTypes: readonly ComponentType[] = builtinTypes;
