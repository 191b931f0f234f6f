import { builtinTypes } from '../builtin-types.ts';
import { type LoadedConfig, loadConfig } from '../config/load-config.ts';
import { importPlugins, type PluginModule, typesBoundBy } from '../plugin.ts';

/** A configuration with the plug-ins that it names. */
export interface LoadedNode extends LoadedConfig {
  readonly plugins: readonly PluginModule[];
}

/** Loads what `--config`, CAJE_CONFIG, ./caje.yaml or the built-in default says. Throws `ConfigError`. */
export async function loadNode(file: string | undefined): Promise<LoadedNode> {
  const plugins: PluginModule[] = [];
  const loaded = await loadConfig({
    file,
    env: process.env,
    types: builtinTypes,
    cwd: process.cwd(),
    loadPlugins: async (paths) => {
      const modules = await importPlugins(paths);
      plugins.push(...modules);
      return typesBoundBy(modules);
    },
  });
  return { ...loaded, plugins };
}
