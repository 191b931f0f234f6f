import { pathToFileURL } from 'node:url';
import { Container, ContainerModule } from 'inversify';
import type { ComponentType } from './component.ts';
import { messageOf, ProxyError } from './errors.ts';
import { TOKENS } from './tokens.ts';

/** What a plug-in exports as `plugin`. */
export type PluginModule = ContainerModule;

/** A plug-in that binds these types: `export const plugin = definePlugin(myFetcherType)`. */
export function definePlugin(...types: readonly ComponentType[]): ContainerModule {
  return new ContainerModule(({ bind }) => {
    for (const type of types) bind(TOKENS.ComponentType).toConstantValue(type);
  });
}

/** Imports plug-ins, each a module with a `ContainerModule` exported as `plugin`. Throws `invalid` for anything else. */
export async function importPlugins(paths: readonly string[]): Promise<readonly ContainerModule[]> {
  return await Promise.all(paths.map(importPlugin));
}

/** The component types that modules bind; nothing else of them is run. */
export function typesBoundBy(modules: readonly ContainerModule[]): readonly ComponentType[] {
  const container = new Container();
  container.load(...modules);
  return container.isBound(TOKENS.ComponentType) ? container.getAll(TOKENS.ComponentType) : [];
}

async function importPlugin(path: string): Promise<ContainerModule> {
  let module: { plugin?: unknown };
  try {
    module = (await import(pathToFileURL(path).href)) as { plugin?: unknown };
  } catch (error) {
    throw new ProxyError('invalid', 'plugin.import', messageOf(error), { cause: error });
  }
  const { plugin } = module;
  // By shape, not by class: a plug-in may bring a copy of inversify of its own.
  if (typeof plugin !== 'object' || plugin === null || !('load' in plugin))
    throw new ProxyError(
      'invalid',
      'plugin.import',
      'it exports no ContainerModule named "plugin"',
    );
  return plugin as ContainerModule;
}
