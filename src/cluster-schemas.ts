import { z } from 'zod';

/** How far a node has come in one namespace. */
export interface NamespacePosition {
  /** `epoch:jid` of its newest change; numbers of different epochs say nothing of each other. */
  readonly cursor: string;
  /** When that change was made, in milliseconds since the epoch. Absent: the journal holds none any more. */
  readonly at?: number | undefined;
}

/** What a node says of itself to other nodes, and to `caje cluster status`. */
export interface NodeStatus {
  readonly nodeId: string;
  readonly version: string;
  readonly roles: readonly string[];
  /** True: it is stopping. */
  readonly draining: boolean;
  /** `alone`: no rows come to it from another node, nor go from it. */
  readonly replication: 'primary' | 'replica' | 'alone';
  /** Which lock it writes the manifest under. */
  readonly lock: string;
  /** How many promotions there were, as far as it knows. */
  readonly term: number;
  /** False: nothing is answered from its rows yet. */
  readonly trusted: boolean;
  /** By namespace. */
  readonly positions: Readonly<Record<string, NamespacePosition>>;
  /** Absent: its manifest does not lie on LiteFS. */
  readonly litefs?:
    | {
        /** Transaction it has come to, in decimal digits. */
        readonly txid: string;
        /** Milliseconds since it last heard of its primary. Absent: it never was in step. */
        readonly lagMs?: number | undefined;
        /** What LiteFS calls the primary. '': this node is it, or knows of none. */
        readonly primary: string;
      }
    | undefined;
  /** Peer listeners of other nodes that it knows of. */
  readonly knows: readonly string[];
}

/** One node of a cluster as another one sees it. */
export interface ClusterNodeRow {
  /** Its peer listener; '': it has none. */
  readonly url: string;
  readonly state: 'live' | 'down';
  /** True: the node that was asked. */
  readonly self: boolean;
  /** Why it is down. Absent: it is not. */
  readonly problem?: string | undefined;
  /** Absent: it is down. */
  readonly status?: NodeStatus | undefined;
  /** How far behind the primary. Absent: it is the primary, or that cannot be said. */
  readonly behind?:
    | {
        /** Changes of all namespaces. Absent: its rows are of another epoch than the primary's. */
        readonly changes?: number | undefined;
        /** How much older its newest change is than the primary's, at most. Milliseconds. */
        readonly ms: number;
        /** Transactions of LiteFS. Absent: not both lie on one. */
        readonly transactions?: number | undefined;
      }
    | undefined;
}

/** Reads a `NodeStatus` that another node sent. */
export const nodeStatus: z.ZodType<NodeStatus> = z.object({
  nodeId: z.string(),
  version: z.string(),
  roles: z.array(z.string()),
  draining: z.boolean(),
  replication: z.enum(['primary', 'replica', 'alone']),
  lock: z.string(),
  term: z.int(),
  trusted: z.boolean(),
  positions: z.record(z.string(), z.object({ cursor: z.string(), at: z.int().optional() })),
  litefs: z
    .object({
      txid: z.string().regex(/^\d+$/),
      lagMs: z.number().optional(),
      primary: z.string(),
    })
    .optional(),
  knows: z.array(z.string()).max(1000),
});

/** What `cluster status --json` prints, one row for each node. */
export const clusterNodeRow: z.ZodType<ClusterNodeRow> = z.object({
  url: z.string(),
  state: z.enum(['live', 'down']),
  self: z.boolean(),
  problem: z.string().optional(),
  status: nodeStatus.optional(),
  behind: z
    .object({
      changes: z.int().optional(),
      ms: z.number(),
      transactions: z.number().optional(),
    })
    .optional(),
});

/** Input of the control call `cluster-status`. `timeoutMs`: longest wait for each node. */
export const clusterStatusInput: z.ZodType<{ readonly timeoutMs: number }> = z.strictObject({
  timeoutMs: z.int().min(1).max(60_000).default(2000),
});
