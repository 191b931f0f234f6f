import type { FetchRequest } from '../fetchers/fetcher.ts';
import type { HeaderList } from '../headers.ts';
import type { Entry, EntryDraft, EntryPolicy } from '../manifest/entry.ts';
import type { FlightSubject } from '../stashers/fills.ts';

/** The head of an answer and when it came. */
export interface Head {
  readonly status: number;
  readonly headers: HeaderList;
  /** Fetcher that brought it. */
  readonly source: string;
  /** Milliseconds since the epoch, when the request was sent. */
  readonly requestedAt: number;
  /** Milliseconds since the epoch, when the head had arrived. */
  readonly receivedAt: number;
  /** False: the end of the body cannot be told from a cut. */
  readonly complete: boolean;
}

/** What becomes of an answer: kept, kept in memory only, or handed to the one who asked and forgotten. */
export type Decision =
  | { readonly keep: 'store' | 'memory'; readonly draft: EntryDraft }
  | { readonly keep: 'no'; readonly reason: string };

/** What a 304 means for the entry that was asked about. */
export type Freshened =
  | {
      readonly kind: 'confirmed';
      readonly headers: HeaderList;
      readonly policy: EntryPolicy;
      readonly freshUntil: number;
      readonly staleAt: number;
      /** True: more changed than Date, Age and Expires, so that the manifest has to say it. */
      readonly changedHeaders: boolean;
    }
  | { readonly kind: 'mismatch' };

/** Whether a stored answer may be used for a request now. */
export type Verdict = 'fresh' | 'stale-while-revalidate' | 'revalidate';

/**
 * One request as the pull-through algorithm sees it: what it is kept under, which stored answer fits, whether that may
 * be used, what to send upstream, and what may be kept of the answer. Made by a protocol for each request.
 */
export interface Resource {
  readonly subject: FlightSubject;
  /** The newest stored answer that fits the request. Absent: none does. */
  select(entries: readonly Entry[]): Entry | undefined;
  /** Tells requests apart that must not share a fetch, given the fields that answers are known to vary on; '' where none is. */
  variant(vary: readonly string[]): string;
  judge(entry: Entry, now: number): Verdict;
  /** Whether the entry may be used although the upstream failed. */
  mayServeStale(entry: Entry, now: number): boolean;
  /** What to send; conditional on the entry where one is given. */
  request(entry: Entry | undefined): FetchRequest;
  decide(head: Head): Decision;
  freshen(entry: Entry, head: Head): Freshened;
  /** Fields of an answer from the store. */
  served(entry: Entry, now: number): HeaderList;
  /** Fields of an answer that is just arriving. */
  passed(head: Head): HeaderList;
  /** True: the first body ever kept stays; another one from upstream is refused and counted. */
  readonly immutable: boolean;
}
