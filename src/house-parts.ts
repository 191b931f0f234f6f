import type { Config } from './config/config.ts';
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
  /** A configured store, whether a rule uses it or not. Throws what making it throws. */
  readonly storage: (name: string) => Promise<Backend>;
}
