import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { checkLargeDatabase } from './database-check.ts';
import { SqliteManifest } from './sqlite-manifest.ts';
import type { ClusterSettings, WriterSettings } from './writer-protocol.ts';

/** Where the manifest lies and how much of it is kept in memory. */
export interface OpenManifestOptions {
  /** The database; `<path>-lock` lies beside it. */
  readonly path: string;
  /** The node-local database, in which freshness is kept; other parts may keep tables in it too. */
  readonly nodeDatabasePath: string;
  /** Absent: `local` where the platform has such locks, else `none`. */
  readonly lock?: WriterSettings['lock'] | undefined;
  /** Longest wait for the lock before it is counted and waited for again. Absent: 10,000 ms. */
  readonly acquireTimeoutMs?: number | undefined;
  /** What is known of other nodes. Absent parts: this node is by itself. */
  readonly cluster?: Partial<ClusterSettings> | undefined;
  /** Longest that a purge waits until every follower that is alive has it. Absent: 5,000 ms. */
  readonly purgeWaitMs?: number | undefined;
  /** Bytes of entries in memory, estimated. Absent: 64 MiB. */
  readonly indexBytes?: number | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const ACQUIRE_TIMEOUT_MS = 10_000;
const INDEX_BYTES = 64 * 1024 * 1024;
const PURGE_WAIT_MS = 5000;
const ALONE: ClusterSettings = {
  node: 'alone',
  follows: false,
  primary: '',
  token: '',
  others: [],
  leaseMs: 30_000,
  catchUpMs: 30_000,
};

/**
 * Opens the manifest, or goes on without it: what keeps it from being opened or written stands in `health()` and is
 * tried again. A damaged file is put aside. Throws `conflict` when the schema is newer than this caje.
 */
export async function openManifest(options: OpenManifestOptions): Promise<SqliteManifest> {
  const { path, nodeDatabasePath, clock, log, metrics } = options;
  const manifest = new SqliteManifest({
    ...{ path, nodeDatabasePath, clock, log, metrics },
    lock: process.platform === 'linux' ? (options.lock ?? 'local') : 'none',
    acquireTimeoutMs: options.acquireTimeoutMs ?? ACQUIRE_TIMEOUT_MS,
    indexBytes: options.indexBytes ?? INDEX_BYTES,
    purgeWaitMs: options.purgeWaitMs ?? PURGE_WAIT_MS,
    cluster: { ...ALONE, ...options.cluster },
  });
  try {
    await manifest.open();
  } catch (error) {
    await manifest[Symbol.asyncDispose]();
    throw error;
  }
  void checkLargeDatabase(path).then((isWhole) => {
    if (!isWhole) manifest.reportDamage();
  });
  return manifest;
}
