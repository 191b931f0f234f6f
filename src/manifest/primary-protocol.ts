import type { SqlValue } from './entry-row.ts';
import type { PurgeKind } from './manifest.ts';
import type { ChangeRequest, ChangeResponse, PurgeResponse } from './writer-protocol.ts';

/** Below this path of the peer listener lies what nodes ask of each other's manifests. */
export const MANIFEST_API = '/_caje/peer/v1/manifest';

/** Rows of one page of a journal or snapshot, at most. */
export const PAGE_ROWS = 500;
/** Bytes of a request's body, at most: a group of changes has a few hundred KiB. */
export const MAX_BATCH_BYTES: number = 8 * 1024 * 1024;
/** Bytes of an answer, at most: a page of rows with large fields. */
export const MAX_ANSWER_BYTES: number = 64 * 1024 * 1024;
/** Longest wait of a long poll. Milliseconds. */
export const MAX_WAIT_MS = 25_000;

/** Who the primary is: the highest term counts; between equal ones above 0 the greater node name. */
export interface Term {
  /** Counted from 0; each promotion takes the next. */
  readonly term: number;
  /** The primary's name. '': not known yet. */
  readonly node: string;
  /** Where its peer listener is. '': not known. */
  readonly url: string;
}

/** What a node says of itself. */
export interface NodeState {
  readonly name: string;
  readonly role: 'primary' | 'replica';
  readonly known: Term;
  /** False: it has yet to catch up, so nothing is answered from its rows. */
  readonly trusted: boolean;
}

/** Asks who a node is, and says who the primary is as far as the asker knows. */
export interface StateRequest {
  readonly known: Term;
  readonly node: string;
  /** Scheme and port of the asker's own peer listener, such as `http:8180`. Absent: it has none. */
  readonly listens?: string | undefined;
}

/** A namespace as its primary has it. */
export interface NamespaceInfo {
  readonly name: string;
  readonly nsid: number;
  readonly kind: string;
  readonly epoch: string;
  readonly firstJid: number;
  readonly nextJid: number;
  readonly lastPurgeJid: number;
  readonly purgeFloor: number;
  readonly lastSeenAt: number;
  readonly counters: Readonly<Record<string, number>>;
}

/** A row by its columns, as SQLite has it. */
export type Row = readonly SqlValue[];

/** What happened in one namespace after `since`. Rows by the columns that the answer names. */
export interface ChangePage {
  readonly namespace: string;
  readonly since: number;
  /** Number of its last row; `since` where there is none. */
  readonly to: number;
  readonly journal: readonly Row[];
  /** Entries that these changes wrote and no later one has. */
  readonly entries: readonly Row[];
  readonly purges: readonly Row[];
}

/** Names of the columns that rows are given by; a newer node may have more. */
export interface Columns {
  readonly entries: readonly string[];
  readonly journal: readonly string[];
  readonly purges: readonly string[];
}

/** What a follower asks for: what came after its cursors, by namespace, as `epoch:jid`. */
export interface ChangesRequest {
  readonly known: Term;
  readonly node: string;
  /** Scheme and port of its own peer listener, such as `http:8180`, for hints. Absent: it has none. */
  readonly listens?: string | undefined;
  readonly cursors: Readonly<Record<string, string>>;
  readonly waitMs: number;
}

export interface ChangesAnswer {
  readonly known: Term;
  readonly columns: Columns;
  readonly namespaces: readonly NamespaceInfo[];
  readonly pages: readonly ChangePage[];
  /** Namespaces whose cursor is too old or of another epoch: a snapshot is needed. */
  readonly gone: readonly string[];
}

/** One page of a namespace's rows as they were up to number `at`. */
export interface SnapshotRequest {
  readonly known: Term;
  readonly node: string;
  readonly namespace: string;
  /** Epoch and number of the first page. Absent: this is it. */
  readonly at?: { readonly epoch: string; readonly jid: number } | undefined;
  /** Key and variant of the last row of the page before. Absent: from the start. */
  readonly after?: readonly [key: string, variant: string] | undefined;
  /** Purges after this number are sent along. */
  readonly purgedTo: number;
}

export interface SnapshotAnswer {
  readonly known: Term;
  readonly columns: Columns;
  readonly namespace: NamespaceInfo;
  readonly jid: number;
  readonly entries: readonly Row[];
  readonly purges: readonly Row[];
  /** True: there are rows after the last one. */
  readonly more: boolean;
}

/** Changes of a replica, in their order. */
export interface BatchRequest {
  readonly known: Term;
  readonly node: string;
  /** What the values of puts stand for; a newer node may send more. */
  readonly columns: readonly string[];
  readonly changes: readonly ChangeRequest[];
}

export interface BatchAnswer {
  readonly known: Term;
  /** One per change, in order. */
  readonly outcomes: readonly ChangeResponse[];
}

export interface PurgeAnswer extends PurgeResponse {
  readonly known: Term;
}

/** A lease on the primary's lock. */
export interface LeaseAnswer {
  readonly id: string;
  /** Milliseconds from now after which it goes unless renewed. */
  readonly ttlMs: number;
}

/** A purge handed to the primary. */
export interface PurgeShipped {
  readonly known: Term;
  readonly node: string;
  readonly changeId: string;
  readonly purge: {
    readonly kind: PurgeKind;
    readonly value: string;
    readonly namespace?: string | undefined;
    readonly soft: boolean;
    readonly actor: string;
  };
  /** Namespaces that fills of the replica may belong to. */
  readonly namespaces: readonly string[];
}

/** Whether `other` counts more than `own`: a primary that learns of it is none any more. */
export function isNewer(other: Term, own: Term): boolean {
  if (other.term !== own.term) return other.term > own.term;
  return other.term > 0 && other.node > own.node;
}

/** Where a node that listens so (`http:8180`) and asks from this host is itself asked. */
export function addressOf(listens: string, host: string): string {
  const [scheme, port] = listens.split(':');
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
