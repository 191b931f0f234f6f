import type { HeaderList } from '../headers.ts';

/** Number of a change in its namespace: starts at 1, each change takes the next, none is used twice. 0: before the first. */
export type Jid = number;

/** What a stored answer may be used for and for how long; made by a protocol when the answer arrived. */
export interface EntryPolicy {
  /** Milliseconds since the epoch: when the answer, or the 304 that confirmed it, had arrived. */
  readonly receivedAt: number;
  /** Seconds of age it had by then (RFC 9111 §4.2.3, corrected_initial_age). */
  readonly initialAge: number;
  /** True: never used without asking first, even while fresh (`no-cache`). */
  readonly alwaysRevalidate: boolean;
  /** True: never used once stale, whatever happens (`must-revalidate` and its like). */
  readonly mustRevalidate: boolean;
  /** Milliseconds since the epoch; stale answers up to then while it is refreshed behind (RFC 5861 §3). 0: none. */
  readonly staleWhileRevalidateUntil: number;
  /** Milliseconds since the epoch; stale answers up to then when the origin fails (RFC 5861 §4). 0: none. */
  readonly staleIfErrorUntil: number;
}

/** What an entry says beside its place in the journal: made by a protocol from an answer's head. */
export interface EntryDraft {
  /** Such as `web` or `go`. */
  readonly namespace: string;
  /** Primary key, without Vary: `http://www.example.com/a?b`, or an escaped GOPROXY path. */
  readonly key: string;
  /** Digest of the normalised Vary names and values; '' where the answer does not vary. */
  readonly variant: string;
  /** Name of the rule that stored it. */
  readonly rule: string;
  readonly method: string;
  /** As asked of the origin, absolute where the fetcher knows it. */
  readonly url: string;
  /** Host that the client asked for. */
  readonly publicHost: string;
  /** Lower-case field names that the answer varies on, sorted; empty where it does not. */
  readonly vary: readonly string[];
  /** Only the request fields that `vary` names; values of secret ones hashed. */
  readonly requestHeaders: HeaderList;
  readonly status: number;
  /** As stored: end-to-end fields, in the upstream's order. */
  readonly headers: HeaderList;
  readonly policy: EntryPolicy;
  /** Fetcher that brought it. */
  readonly source: string;
  /** Milliseconds since the epoch; after it the entry is stale. */
  readonly freshUntil: number;
  /** Milliseconds since the epoch; after it the entry is not even served stale, but may still be revalidated. */
  readonly staleAt: number;
}

/** A draft whose body is known. */
export interface NewEntry extends EntryDraft {
  /** SHA-256 of the body in hex: its name in the backend. */
  readonly digest: string;
  /** Bytes of the body. */
  readonly size: number;
  /** `h1:` hash of a Go zip or go.mod. Absent: not one, or not computed. */
  readonly h1?: string | undefined;
}

/** A stored answer: one row of the manifest per key and variant. */
export interface Entry extends NewEntry {
  /**
   * Milliseconds since the epoch: when this key and variant was stored for the first time. With an h1: since when it is
   * there with one, moved on where needed to be later than that of every entry of its namespace written with one before.
   */
  readonly firstSeenAt: number;
  /** Milliseconds since the epoch: when this body was stored. */
  readonly storedAt: number;
  /** Number of the change that wrote it; 0 while it is still pending. */
  readonly jid: Jid;
}
