import type { ComponentRegistry } from './component-registry.ts';
import type { Stasher } from './stashers/stasher.ts';
import type { Backend } from './storage/backend.ts';

/** Stores and stashers by their names in the configuration, whether a rule uses them or not. Made when they are asked for. */
export interface ConfiguredStorages {
  /** Throws what making it throws. */
  named(storage: string): Promise<Backend>;
  /** Throws what making it throws. */
  stasher(name: string): Promise<Stasher>;
}

/** Those of a registry. */
export function storagesOf(components: ComponentRegistry): ConfiguredStorages {
  return {
    named: async (storage) => await components.component<Backend>('backend', storage),
    stasher: async (name) => await components.component<Stasher>('stasher', name),
  };
}
