import type { Config } from './config/config.ts';
import type { ConfiguredStorages } from './configured-storages.ts';
import { ProxyError } from './errors.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { SpoolFolder } from './stashers/spool-folder.ts';
import type { Backend } from './storage/backend.ts';

/** What the commands that move whole stores work on, in a running node or without one. */
export interface HouseParts {
  readonly config: Config;
  readonly manifest: Manifest;
  readonly spool: SpoolFolder;
  /** Stores in use, by name. */
  readonly backends: () => Promise<readonly (readonly [string, Backend])[]>;
  readonly storage: ConfiguredStorages;
}

/**
 * Where bodies of rows of these rules are kept today; for rules that are no more, or keep nothing, the first store in use. Throws
 * `invalid` where no rule keeps anything.
 */
export async function storesOf(
  { config, backends, storage }: HouseParts,
  rules: readonly string[],
): Promise<readonly Backend[]> {
  const inUse = (await backends()).map(([, backend]) => backend);
  const found = new Set<Backend>();
  for (const name of rules) {
    const rule = config.rules.find((one) => one.name === name);
    if (rule === undefined) continue;
    const { bodies } = await storage.stasher(rule.stash);
    const own = inUse.find((backend) => backend === bodies);
    if (own !== undefined) found.add(own);
  }
  if (found.size > 0) return [...found];
  const [first] = inUse;
  if (first !== undefined) return [first];
  throw new ProxyError(
    'invalid',
    'house-parts.stores',
    'no rule of the configuration keeps anything',
  );
}
