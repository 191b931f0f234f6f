import type { FetchRequest } from '../fetchers/fetcher.ts';
import type { HeaderList } from '../headers.ts';
import type { Entry, EntryDraft } from '../manifest/entry.ts';
import type { BodyInspector, Findings } from '../stashers/body-inspector.ts';
import type { FlightSubject } from '../stashers/fills.ts';
import type { Supply } from './arrival.ts';
import type { EntryUse } from './entry-use.ts';
import type { PullThroughOptions } from './filler.ts';
import type { PartialUse } from './partial-use.ts';
import type { Freshened } from './revalidation.ts';

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
  /** Milliseconds that these times lie before the machine's clock. Absent: none. */
  readonly clockAhead?: number | undefined;
  /** False: the end of the body cannot be told from a cut. */
  readonly complete: boolean;
}

/** What becomes of an answer: kept, kept in memory only, or handed to the one who asked and forgotten. */
export type Decision =
  | { readonly keep: 'store' | 'memory'; readonly draft: EntryDraft }
  | { readonly keep: 'no'; readonly reason: string };

/**
 * What to do when nothing fits: fetch for all who ask, fetch for this one alone (the answer depends on the client's own
 * conditions), or pass the request on without keeping the answer.
 */
export type OnMiss = 'share' | 'alone' | 'forward';

/**
 * One request as the pull-through algorithm sees it: what it is kept under, which stored answer fits, whether that may
 * be used, what to send upstream, and what may be kept of the answer. Made by a protocol for each request.
 */
export interface Resource {
  readonly subject: FlightSubject;
  readonly onMiss: OnMiss;
  /** The newest stored answer that fits the request. Absent: none does. */
  select(entries: readonly Entry[]): Entry | undefined;
  /** Tells requests apart that must not share a fetch, given the fields that answers are known to vary on; '' where none is. */
  variant(vary: readonly string[]): string;
  judge(entry: Entry, now: number): EntryUse;
  /**
   * Whether the entry may be used although the upstream failed; `disconnected`: the configuration lets what is kept stand in for
   * it; `unanswered`: it gave no answer at all. Absent: it did.
   */
  mayServeStale(entry: Entry, now: number, disconnected: boolean, unanswered?: boolean): boolean;
  /** Milliseconds since the epoch until which an edge may repeat the answer without asking again. */
  repeatableUntil(entry: Entry): number;
  /** What to send for a whole answer, whoever asks for it; conditional on the entry where one is given, else on the tags of `others`. */
  request(entry: Entry | undefined, others?: readonly Entry[]): FetchRequest;
  /** What to send for this client alone: its own method, conditions and range. */
  ownRequest(): FetchRequest;
  decide(head: Head): Decision;
  freshen(entry: Entry, head: Head): Freshened;
  /** True: what is asked about an entry is asked with HEAD, whose answer has no body to keep. Absent: it is not. */
  readonly asksForHead?: boolean | undefined;
  /** True: the answer to HEAD confirms an entry as a 304 does. Absent: none does. */
  confirms?(entry: Entry, head: Head): boolean;
  /** What an entry that varies on these fields has of this request. Absent: another variant's answer is never taken over. */
  selecting?(vary: readonly string[]): Pick<EntryDraft, 'variant' | 'requestHeaders'>;
  /** Fields of an answer from the store. */
  served(entry: Entry, now: number): HeaderList;
  /** Fields of an answer that is just arriving. */
  passed(head: Head): HeaderList;
  /** True: the first body ever kept stays; another one from upstream is refused and counted. */
  readonly immutable: boolean;
  /** Names what of this client's own may make an answer one for it alone, such as its credentials. Absent, or '': nothing. */
  personal?(): string;
  /** True: what is fetched for it goes on when its client leaves. Absent: false. */
  readonly goesOn?: boolean | undefined;
  /** Whether an answer that others share is one for this request. Absent: where its variant is the one of `variant`. */
  fits?(draft: EntryDraft): boolean;
  /** How parts that are kept answer it, where no whole is kept. Absent, or absent result: they do not. */
  partial?(
    entries: readonly Entry[],
    supply: Supply,
    options: PullThroughOptions,
  ): PartialUse | undefined;
  /** What looks at the body of an answer on its way in. Absent: nothing does. */
  inspector?(draft: EntryDraft): BodyInspector | undefined;
  /** What has to agree before the last byte of an answer goes out. Absent: nothing has to. */
  confirmation?(draft: EntryDraft): ((findings: Findings) => Promise<void>) | undefined;
}

/** Whether an answer that others share is one for a request. */
export function isFor(resource: Resource, draft: EntryDraft): boolean {
  return resource.fits?.(draft) ?? resource.variant(draft.vary) === draft.variant;
}
