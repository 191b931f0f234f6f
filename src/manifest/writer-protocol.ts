import type { CounterName } from '../metrics.ts';
import type { Jid } from './entry.ts';
import type { SqlValue } from './entry-row.ts';
import type { LiteFsAddresses } from './litefs-nodes.ts';
import type { Purge, PurgeResult } from './manifest.ts';
import type { PeerIdentity } from './primary-client.ts';
import type { LeaseAnswer, NodeState, Term } from './primary-protocol.ts';

/** What the writer thread is started with. */
export interface WriterSettings {
  /** The shared manifest. */
  readonly path: string;
  /** The node-local database, in which freshness is kept. */
  readonly nodeDatabasePath: string;
  readonly lock: 'local' | 'none' | 'peer' | 'litefs' | 'peer-litefs';
  /** Absent: `wal`. */
  readonly journal?: 'wal' | 'delete' | undefined;
  /** Absent: the manifest does not lie on LiteFS. */
  readonly liteFs?: LiteFsSettings | undefined;
  readonly acquireTimeoutMs: number;
  readonly cluster: ClusterSettings;
}

/** What writing on a LiteFS needs. */
export interface LiteFsSettings {
  readonly addresses: LiteFsAddresses;
  /** Where this node's own copy of the rows lies, which is read. */
  readonly mirrorPath: string;
  /** Where the COMMIT that runs is noted; see `LiteFsCommits`. */
  readonly watch: SharedArrayBuffer;
  /** Program of the helper process, for tests. Absent: the package's own. */
  readonly helper?: readonly string[] | undefined;
}

/** What the writer knows of other nodes at its start. */
export interface ClusterSettings {
  /** This node's name. */
  readonly node: string;
  /** True: rows come from the primary's journal where this node is not the primary. */
  readonly follows: boolean;
  /** False: this node is never the primary. Absent: it may be. */
  readonly mayLead?: boolean | undefined;
  /** Control socket of the node on the same folder that changes of this process are handed to. Absent: this process is the node. */
  readonly guestOf?: string | undefined;
  /** The primary's peer listener; it may be this node's own. '': not configured. */
  readonly primary: string;
  /** Shown to other nodes. '': they are not asked. */
  readonly token: string;
  /** File of it, which is read again while the node runs. Absent: it stays as it was at the start. */
  readonly tokenFile?: string | undefined;
  /** Shown in TLS. Absent: nothing. */
  readonly tls?: PeerIdentity | undefined;
  /** Peer listeners of nodes that may know of a newer primary. */
  readonly others: readonly string[];
  /** A name each address of which is such a node. Absent: there is none. */
  readonly dns?:
    | { readonly host: string; readonly port: number; readonly scheme: 'http' | 'https' }
    | undefined;
  /** How long a lease is good for unless it is renewed. */
  readonly leaseMs: number;
  /** How long after its start a node that reaches no primary answers nothing from its rows. */
  readonly catchUpMs: number;
}

/** What is asked of the writer about its place in the cluster. */
export type ClusterAsk =
  /** `met`: what another node said of the primary. */
  | { readonly kind: 'state'; readonly met?: Term | undefined }
  | { readonly kind: 'promote'; readonly url: string; readonly force: boolean }
  /** A follower came, or came from another address. */
  | { readonly kind: 'follower'; readonly node: string; readonly url: string }
  /** What the event with this number told of is known to the request side. */
  | { readonly kind: 'followed'; readonly seq: number }
  /** The primary has something new. */
  | { readonly kind: 'hint' }
  /** Where this node's own peer listener is. */
  | { readonly kind: 'listening'; readonly url: string }
  | { readonly kind: 'lease'; readonly node: string; readonly waitMs: number }
  | { readonly kind: 'renew'; readonly id: string }
  | { readonly kind: 'release'; readonly id: string };

/** A purge whose effect is in the rows already. */
export interface AppliedPurge {
  readonly namespace: string;
  readonly kind: Purge['kind'];
  readonly value: string;
  readonly jid: Jid;
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

/** What is done on this node's own database. */
export type LocalRequest =
  | { readonly op: 'open' }
  /** A reader met damage: look, and put the file aside if it is so. */
  | { readonly op: 'damaged' }
  | { readonly op: 'freshness'; readonly rows: readonly FreshnessRow[]; readonly expired: number }
  | ChangeRequest
  | PurgeRequest;

export type WriterRequest = LocalRequest | { readonly op: 'cluster'; readonly ask: ClusterAsk };

/** Outcome of a put or delete. */
export type ChangeResponse =
  | { readonly outcome: 'committed'; readonly jid: Jid; readonly firstSeenAt: number }
  | { readonly outcome: 'purged' }
  | { readonly outcome: 'dropped' };

/** Outcome of a purge; `last`: highest number that it took per namespace. Absent where the node stopped first. */
export interface PurgeResponse extends PurgeResult {
  readonly last: Readonly<Record<string, Jid>>;
}

export type WriterResponse = ChangeResponse | PurgeResponse | NodeState | LeaseAnswer | null;

/**
 * What the writer meets on LiteFS. `level`: the copy of the rows that is read has all that there was when the node began.
 * `refused`: HALT was not granted in LiteFS' own time, and the database cannot be read either.
 */
export type LiteFsMet = 'level' | 'refused';

/** What the writer thread says unasked. */
export type WriterEvent =
  /** `by` absent: one step. */
  | {
      readonly type: 'count';
      readonly name: CounterName;
      readonly label: string;
      readonly by?: number | undefined;
    }
  /** `text` absent: it writes again. */
  | {
      readonly type: 'problem';
      readonly text?: string | undefined;
      readonly code?: string | undefined;
    }
  /** Where this node stands among the others. */
  | { readonly type: 'cluster'; readonly state: NodeState }
  /** Why the primary cannot be worked with; `text` absent: it can again. */
  | {
      readonly type: 'link';
      readonly text?: string | undefined;
      readonly code?: string | undefined;
    }
  /** Rows of another node came in; to be answered with `followed`. `reset`: anything may have changed. */
  | {
      readonly type: 'applied';
      readonly seq: number;
      readonly reset: boolean;
      readonly purges: readonly AppliedPurge[];
    }
  | { readonly type: 'litefs'; readonly met: LiteFsMet }
  /** The file was put aside under this name and a new one made. */
  | { readonly type: 'replaced'; readonly aside: string };
