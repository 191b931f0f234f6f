import { dirname } from 'node:path';
import { isLiteFs } from '@caje/litefs';
import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { checkLargeDatabase } from './database-check.ts';
import type { LiteFsAddresses } from './litefs-nodes.ts';
import { MirrorClaim } from './mirror-claim.ts';
import { SqliteManifest } from './sqlite-manifest.ts';
import type { ClusterSettings, LiteFsSettings, WriterSettings } from './writer-protocol.ts';

/** Where the manifest lies and how much of it is kept in memory. */
export interface OpenManifestOptions {
  /** The database; `<path>-lock` lies beside it. */
  readonly path: string;
  /** The node-local database, in which freshness is kept; other parts may keep tables in it too. */
  readonly nodeDatabasePath: string;
  /**
   * `auto`: where the database lies on a mounted LiteFS `peer-litefs` if other nodes are known, else `litefs`; elsewhere `peer` if
   * there is a primary, else `local`. Absent: `local`. Where there are no such locks: `none`.
   */
  readonly lock?: LockType | undefined;
  /** `auto`: `delete` on LiteFS, else `wal`. Absent: `auto`. */
  readonly journal?: 'auto' | 'wal' | 'delete' | undefined;
  /** Where LiteFS is asked. Absent: at its usual port, on this machine and on the primary's. */
  readonly liteFs?: LiteFsAddresses | undefined;
  /** Program of LiteFS' lock helper, for tests. Absent: the package's own. */
  readonly liteFsHelper?: readonly string[] | undefined;
  /** Called when LiteFS stands still and only its restart helps. Absent: that stands in `health()` alone. */
  readonly onWedged?: (() => void) | undefined;
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

/** Who may write the manifest; see `docs/configuration.md`. */
export type LockType = WriterSettings['lock'] | 'auto';

const LITEFS: LiteFsAddresses = {
  api: 'http://127.0.0.1:20202',
  primary: 'http://{hostname}:20202',
};
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
 * tried again. A damaged file is put aside. Throws `conflict` when the schema is newer than this caje, and `invalid` for WAL on LiteFS.
 */
export async function openManifest(options: OpenManifestOptions): Promise<SqliteManifest> {
  const { path, nodeDatabasePath, clock, log, metrics } = options;
  const lock = lockOf(options);
  const onLiteFs = isOnLiteFs(path, lock);
  const journal = journalOf(options, onLiteFs);
  const mirror = onLiteFs ? new MirrorClaim(dirname(nodeDatabasePath)) : undefined;
  const liteFs = mirror && liteFsSettings(options, mirror.path);
  const manifest = new SqliteManifest({
    ...{ path, nodeDatabasePath, clock, log, metrics, lock, liteFs, onWedged: options.onWedged },
    ...{ journal, mirror },
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
  // Reading for long stops replication, and LiteFS has checksums of its own.
  if (liteFs === undefined)
    void checkLargeDatabase(path).then((isWhole) => {
      if (!isWhole) manifest.reportDamage();
    });
  return manifest;
}

/** The lock that a manifest opened so is written under. */
export function lockOf({
  path,
  lock = 'local',
  cluster,
}: Pick<OpenManifestOptions, 'path' | 'lock' | 'cluster'>): WriterSettings['lock'] {
  if (process.platform !== 'linux') return 'none';
  if (lock !== 'auto') return lock;
  if (isLiteFs(path)) return knowsNodes(cluster) ? 'peer-litefs' : 'litefs';
  return (cluster?.primary ?? '') === '' ? 'local' : 'peer';
}

function knowsNodes(cluster: Partial<ClusterSettings> = {}): boolean {
  const { token = '', others = [], dns, mayLead = true } = cluster;
  return mayLead && token !== '' && (others.length > 0 || dns !== undefined);
}

function journalOf(
  { path, journal = 'auto' }: OpenManifestOptions,
  onLiteFs: boolean,
): 'wal' | 'delete' {
  if (journal === 'auto') return onLiteFs ? 'delete' : 'wal';
  if (journal === 'delete' || !onLiteFs) return journal;
  throw new ProxyError(
    'invalid',
    'open-manifest.journal',
    `manifest.journal: ${path} lies on LiteFS, where WAL can lose what was written; use auto or delete`,
  );
}

function liteFsSettings(options: OpenManifestOptions, mirrorPath: string): LiteFsSettings {
  return {
    addresses: options.liteFs ?? LITEFS,
    mirrorPath,
    watch: new SharedArrayBuffer(8),
    helper: options.liteFsHelper,
  };
}

/** With `peer` too nothing is written there without HALT. */
function isOnLiteFs(path: string, lock: WriterSettings['lock']): boolean {
  return lock.endsWith('litefs') || (lock === 'peer' && isLiteFs(path));
}
