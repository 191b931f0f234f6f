import type { Clock } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { BodyCache } from './body-cache.ts';
import type { Pins } from './eviction.ts';
import type { NodeDatabase } from './node-database.ts';
import type { QuotaLimits } from './quota.ts';
import type { S3ClientOptions } from './s3-client.ts';

/** How an S3 backend is made. */
export interface S3BackendOptions extends S3ClientOptions {
  readonly name: string;
  /** What all keys begin with. Absent: nothing. */
  readonly prefix?: string | undefined;
  /** This node's own name: its uploads are told from those of others by it. */
  readonly nodeId: string;
  /** Remembers sizes and block digests, so that a read is one call. */
  readonly database: NodeDatabase;
  /** Gets small bodies as they are written and read. Absent: nothing is kept in memory. */
  readonly cache?: BodyCache | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** False: bytes leave unchecked. Absent: true. */
  readonly verify?: boolean | undefined;
  /** How much this node may hold there. Absent: any amount, and nothing is evicted. */
  readonly quota?: QuotaLimits | undefined;
  /** Absent: nothing is pinned. */
  readonly pins?: Pins | undefined;
  /** Bytes that one copy on the server may have, at least 5 MiB. Absent: 512 MiB; S3 itself takes 5 GiB. */
  readonly copyLimit?: number | undefined;
  /** Bytes that all bodies together may read ahead of their clients. Absent: 32 MiB. */
  readonly readAhead?: number | undefined;
}
