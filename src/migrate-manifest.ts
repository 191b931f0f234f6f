import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SystemClock } from './clock.ts';
import type { ComponentType } from './component.ts';
import type { Config } from './config/config.ts';
import { createContainer } from './container.ts';
import { ProxyError } from './errors.ts';
import type { Logger } from './log.ts';
import type { Manifest } from './manifest/manifest.ts';
import { MANIFEST_MIGRATIONS, MANIFEST_SCHEMA } from './manifest/schema.ts';
import { openDataFolder } from './node-identity.ts';
import { schemaVersion } from './sqlite/migrations.ts';
import { openDatabase } from './sqlite/open-database.ts';
import { TOKENS } from './tokens.ts';

/** What `migrateManifest` works on. */
export interface MigrateOptions {
  readonly config: Config;
  /** Built-in types; those of plug-ins are bound by their modules. */
  readonly types: readonly ComponentType[];
  readonly plugins: Parameters<typeof createContainer>[0]['plugins'];
  readonly log: Logger;
}

/** What became of the manifest's schema. */
export interface Migrated {
  readonly path: string;
  /** Version before; 0: there was no manifest. */
  readonly from: number;
  /** Version now. */
  readonly to: number;
}

const NEWEST = MANIFEST_MIGRATIONS.at(-1)?.version ?? 0;
const POLL_MS = 50;
/** How much longer than the wait for the lock may take what is done under it. */
const WORK_MS = 30_000;

/**
 * Brings the manifest to the newest schema under its lock and ends; makes it where there is none. Beside a running node
 * it finds nothing to do. Throws `conflict` for a manifest of a newer caje, `unavailable` when it cannot be written in time.
 */
export async function migrateManifest(options: MigrateOptions): Promise<Migrated> {
  const { config } = options;
  const clock = new SystemClock();
  const identity = openDataFolder(config.data);
  const path = resolve(identity.dataDir, config.manifest.path);
  const from = versionOf(path);
  const container = createContainer({ ...options, identity, clock, startDemo: noDemo });
  await using stack = new AsyncDisposableStack();
  stack.use(await container.getAsync(TOKENS.NodeDatabase));
  const manifest = stack.use(await container.getAsync(TOKENS.Manifest));
  // Opening goes on without a manifest that is locked; a migration has to wait until it is not.
  const end = clock.monotonic() + config.manifest.lock.acquireMs + WORK_MS;
  let to = versionOf(path);
  while (to !== NEWEST) {
    if (clock.monotonic() > end)
      throw new ProxyError(
        'unavailable',
        'migrate',
        `${path} was not migrated: ${reason(manifest)}`,
      );
    // A timer that keeps the process alive: nothing else does here.
    await sleep(POLL_MS);
    to = versionOf(path);
  }
  return { path, from, to };
}

function reason(manifest: Manifest): string {
  return manifest.health().problem ?? 'another process holds its lock';
}

function versionOf(path: string): number {
  if (!existsSync(path)) return 0;
  try {
    const database = openDatabase(path, { readOnly: true });
    try {
      return schemaVersion(database, MANIFEST_SCHEMA);
    } finally {
      database.close();
    }
  } catch {
    // Damaged, locked, or no database: whoever opens it to write says so.
    return 0;
  }
}

async function noDemo(): Promise<URL> {
  throw new ProxyError('internal', 'migrate.demo', 'a migration fetches nothing');
}
