import type { CounterName } from '../metrics.ts';
import type { Jid } from './entry.ts';
import type { SqlValue } from './entry-row.ts';
import type { Purge, PurgeResult } from './manifest.ts';

/** What the writer thread is started with. */
export interface WriterSettings {
  /** The shared manifest. */
  readonly path: string;
  /** The node-local database, in which freshness is kept. */
  readonly nodeDatabasePath: string;
  readonly lock: 'local' | 'none';
  readonly acquireTimeoutMs: number;
}

/** A put on its way to the database; `values` by `PUT_COLUMNS`. */
export interface PutRequest {
  readonly op: 'put';
  readonly namespace: string;
  readonly changeId: string;
  readonly baseJid: Jid;
  readonly actor: string;
  readonly at: number;
  readonly values: readonly SqlValue[];
  /** Estimate, for bounds of groups and of the queue. */
  readonly bytes: number;
}

/** A delete on its way to the database. */
export interface DeleteRequest {
  readonly op: 'delete';
  readonly namespace: string;
  readonly changeId: string;
  readonly key: string;
  /** Absent: every variant. */
  readonly variant?: string | undefined;
  readonly actor: string;
  readonly at: number;
  readonly bytes: number;
  /** True: the row failed its checksum; it goes without a tombstone. */
  readonly broken?: boolean | undefined;
}

/** A purge on its way to the database. */
export interface PurgeRequest {
  readonly op: 'purge';
  readonly changeId: string;
  readonly purge: Purge;
  /** Namespaces that fills of this node may belong to though the database has none by the name yet. */
  readonly namespaces: readonly string[];
  readonly at: number;
}

/** Freshness of one confirmed entry, for the node-local database. */
export interface FreshnessRow {
  readonly epoch: string;
  readonly key: string;
  readonly variant: string;
  readonly jid: Jid;
  readonly freshUntil: number;
  readonly staleAt: number;
  readonly policy: string;
}

export type ChangeRequest = PutRequest | DeleteRequest;

export type WriterRequest =
  | { readonly op: 'open' }
  /** A reader met damage: look, and put the file aside if it is so. */
  | { readonly op: 'damaged' }
  | { readonly op: 'freshness'; readonly rows: readonly FreshnessRow[]; readonly expired: number }
  | ChangeRequest
  | PurgeRequest;

/** Outcome of a put or delete. */
export type ChangeResponse =
  | { readonly outcome: 'committed'; readonly jid: Jid; readonly firstSeenAt: number }
  | { readonly outcome: 'purged' }
  | { readonly outcome: 'dropped' };

/** Outcome of a purge; `last`: highest number that it took per namespace. Absent where the node stopped first. */
export interface PurgeResponse extends PurgeResult {
  readonly last: Readonly<Record<string, Jid>>;
}

export type WriterResponse = ChangeResponse | PurgeResponse | null;

/** What the writer thread says unasked. */
export type WriterEvent =
  | { readonly type: 'count'; readonly name: CounterName; readonly label: string }
  /** `text` absent: it writes again. */
  | {
      readonly type: 'problem';
      readonly text?: string | undefined;
      readonly code?: string | undefined;
    }
  /** The file was put aside under this name and a new one made. */
  | { readonly type: 'replaced'; readonly aside: string };
