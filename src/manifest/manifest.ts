import type { CallOptions } from '../body.ts';
import type { Entry, EntryPolicy, Jid, NewEntry } from './entry.ts';

/** Keep this answer, unless a purge came in since the fill began. */
export interface PutChange {
  readonly op: 'put';
  /** UUID: a change whose outcome is unknown is looked up by it and never applied twice. */
  readonly changeId: string;
  readonly entry: NewEntry;
  /** `position` of the namespace when the fill began: a matching purge with a higher number refuses this change. */
  readonly baseJid: Jid;
  /** Who changed it, for the journal: a rule's or a command's name. */
  readonly actor: string;
}

/** Forget this key: all its variants, or one. Leaves a tombstone. */
export interface DeleteChange {
  readonly op: 'delete';
  readonly changeId: string;
  readonly namespace: string;
  readonly key: string;
  /** Absent: every variant. */
  readonly variant?: string | undefined;
  readonly actor: string;
}

export type Change = PutChange | DeleteChange;

/** What became of a change. `dropped`: the queue was full, or the node stopped first; nothing was written. */
export type CommitResult =
  | { readonly outcome: 'committed'; readonly jid: Jid }
  | { readonly outcome: 'purged' }
  | { readonly outcome: 'dropped' };

/** Which entries a purge takes. `prefix` is compared with the key from its first character, `tag` as `readTags` gives it. */
export type PurgeKind = 'key' | 'prefix' | 'rule' | 'tag' | 'all';

/** Every kind of purge. */
export const PURGE_KINDS: readonly PurgeKind[] = ['key', 'prefix', 'rule', 'tag', 'all'];

export interface Purge {
  readonly kind: PurgeKind;
  /** Key, prefix, rule name or tag; '' for `all`. */
  readonly value: string;
  /** Absent: every namespace. */
  readonly namespace?: string | undefined;
  /** True: entries become stale instead of going away. */
  readonly soft: boolean;
  readonly actor: string;
}

export interface PurgeResult {
  /** Entries (variants counted) that the purge took. */
  readonly entries: number;
  /** Per namespace purged: the number of the purge in its journal. */
  readonly jids: Readonly<Record<string, Jid>>;
}

/** One row of the journal. */
export interface JournalRow {
  readonly namespace: string;
  readonly jid: Jid;
  readonly op: 'put' | 'refresh' | 'delete' | 'purge';
  /** '' for a purge of more than one key. */
  readonly key: string;
  readonly variant: string;
  /** Absent where the change has no body. */
  readonly digest?: string | undefined;
  /** Absent where the change has no body. */
  readonly size?: number | undefined;
  readonly baseJid: Jid;
  readonly changeId: string;
  readonly actor: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export interface JournalPage {
  /** In order of namespace, then jid. */
  readonly rows: readonly JournalRow[];
  /** `epoch:jid` to go on from; equal to the one asked with where nothing is new. */
  readonly cursor: string;
}

/** One page of entries, in the order of the read that gave it. */
export interface EntryPage {
  readonly entries: readonly Entry[];
  /** To be handed back for the next page. Absent: that was the last. */
  readonly next?: string | undefined;
}

/** Which entries to list, in order of namespace, key, variant. */
export interface ListOptions {
  /** Absent: every namespace. */
  readonly namespace?: string | undefined;
  /** Only keys that begin with it. Absent: all. */
  readonly prefix?: string | undefined;
  /** Only keys that end with it. Absent: all. */
  readonly suffix?: string | undefined;
  /** Only entries of this rule. Absent: all. */
  readonly rule?: string | undefined;
  /** `next` of the page before. Absent: from the start. */
  readonly after?: string | undefined;
  /** At most 1,000. */
  readonly limit: number;
}

/** Which entries to list, in order of `firstSeenAt`, key, variant. */
export interface SeenOptions {
  readonly namespace: string;
  /** Milliseconds since the epoch: only entries first seen then or later. */
  readonly since: number;
  /** Only keys that end with it. Absent: all. */
  readonly suffix?: string | undefined;
  /** `next` of the page before. Absent: from `since` on. */
  readonly after?: string | undefined;
  /** At most 1,000. */
  readonly limit: number;
}

/** How long a confirmed entry is good for, kept on this node alone. */
export interface Refresh {
  readonly freshUntil: number;
  readonly staleAt: number;
  readonly policy: EntryPolicy;
}

/** Whether the manifest takes changes now. */
export interface ManifestHealth {
  /** Absent: it does. */
  readonly problem?: string | undefined;
  /** Changes that wait to be written. */
  readonly pending: number;
}

/** Entries of a rule that have a tag. */
export type RuleTag = readonly [rule: string, tag: string];

/** Told of every key whose entries changed, by whomever; `key` absent: anything in the namespace may have. */
export type ChangeListener = (namespace: string, key: string | undefined) => void;

/** Told of purges that others made. */
export type PurgeListener = (purge: Purge) => void;

/**
 * What is stored, by key: the source of truth. Reading never waits for writing; a change counts locally as soon as
 * it is handed in, and is undone here if it is refused.
 */
export interface Manifest extends AsyncDisposable {
  /**
   * The file from which others than the writer may read the rows: the database, on LiteFS this process' own copy of it, since whoever
   * reads on the mount stands still with LiteFS, and can lock it up.
   */
  readonly rowsPath: string;
  /** False: what lies there may miss what other nodes wrote, as after a start on LiteFS. */
  readonly isReadable: boolean;
  /** All variants of a key, newest first, if they are known in memory; never waits. Absent: ask `lookup`. Empty: none. */
  peek(namespace: string, key: string): readonly Entry[] | undefined;
  /** All variants of a key, newest first; from memory, else from the database. */
  lookup(namespace: string, key: string): Promise<readonly Entry[]>;
  /** Highest number of the namespace known here; what a fill carries as its `baseJid`. */
  position(namespace: string): Jid;
  /** Resolves for each change, in order, once it is durable or known not to be written. Never rejects for a busy or locked database: it waits in the queue. */
  commit(changes: readonly Change[]): Promise<readonly CommitResult[]>;
  /** Notes on this node alone that an entry was confirmed; no change of the journal. Counts at once. */
  refresh(entry: Entry, refresh: Refresh): void;
  /**
   * Keeps an answer in memory only: negative ones, and those that live too short to be worth a row. Gone with the process.
   * `baseJid` as of a put: a matching purge since then keeps it out. Absent: only a purge under way does.
   */
  hold(entry: NewEntry, baseJid?: Jid): void;
  /**
   * True: nothing is kept, held or waits to be written under the key, and no other node shares this manifest, so that a purge
   * of the key would find nothing. What is being fetched is the caller's to know.
   */
  hasNothing(namespace: string, key: string): boolean;
  /** Resolves when the purge is durable; from the call on nothing that it takes is answered from here. Throws `timeout` when that takes over 10 s: it is then still in the queue. */
  purge(purge: Purge, options?: CallOptions): Promise<PurgeResult>;
  /** Throws `invalid` for an `after` that is no position in this list, `unavailable` when it cannot be read now. */
  list(options: ListOptions): Promise<EntryPage>;
  /**
   * Entries with an h1, oldest first. Whoever goes on from the last `firstSeenAt` it was given misses none that is written
   * later, by whichever process. What is not written yet is left out. Throws as `list`.
   */
  seen(options: SeenOptions): Promise<EntryPage>;
  /** Changes after `since` (`epoch:jid`, or '' from the start). Throws `gone` when older than what is kept or of another epoch. */
  journal(namespace: string, since: string, limit: number): Promise<JournalPage>;
  /**
   * Whether a body is named by any row, or by one of these rules, or by one of a rule that has its tag; what is pending,
   * expected or only in memory counts, of whatever rule. For cleaning up.
   */
  isReferenced(
    digest: string,
    rules?: ReadonlySet<string>,
    tags?: readonly RuleTag[],
  ): Promise<boolean>;
  /** Says that a row naming this body may be handed in soon. Gives the function that ends it. */
  expect(digest: string): () => void;
  /** Called after each change, from whatever process. Gives the function that ends it. */
  onChange(listener: ChangeListener): () => void;
  /** Called when a purge comes in from another process or node; its own are not told. Gives the function that ends it. */
  onPurge(listener: PurgeListener): () => void;
  health(): ManifestHealth;
}
