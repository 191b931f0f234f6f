import type { FetchRequest } from '../fetchers/fetcher.ts';
import type { HeaderList } from '../headers.ts';
import type { Entry, EntryDraft } from '../manifest/entry.ts';
import type { FlightSubject } from '../stashers/fills.ts';
import { contentRangeOf, isOneRange, lengthOf } from './byte-ranges.ts';
import type { EntryUse } from './entry-use.ts';
import { partVariant, strongTag } from './partial-content.ts';
import type { Decision, Head, OnMiss, Resource } from './resource.ts';
import type { Freshened } from './revalidation.ts';

/** What a range of a resource is asked for with. */
export interface RangeAsk {
  /** The Range field. */
  readonly range: string;
  /** The client's fields. */
  readonly headers: HeaderList;
  /** True: a part without a strong tag is kept too, also where it is shorter than it says; nothing is ever joined to it. */
  readonly keepsUntagged: boolean;
  /** Where a part with these fields is kept among those of its variant. */
  place(variant: string, headers: HeaderList): number;
}

/** Conditions of a client that make the answer to its range one for it alone. */
const OWN_CONDITIONS = ['if-none-match', 'if-modified-since', 'if-range'];

/** One range of a resource: who asks for the same one shares the fetch, and what comes is kept as a part. */
export class PartialResource implements Resource {
  readonly subject: FlightSubject;
  readonly onMiss: OnMiss;
  readonly immutable = false;
  readonly #whole: Resource;
  readonly #ask: RangeAsk;

  constructor(whole: Resource, ask: RangeAsk) {
    this.subject = whole.subject;
    this.#whole = whole;
    this.#ask = ask;
    this.onMiss = onMiss(ask);
  }

  select(entries: readonly Entry[]): Entry | undefined {
    return this.#whole.select(entries);
  }

  variant(vary: readonly string[]): string {
    return `${this.#whole.variant(vary)}\n${this.#ask.range}`;
  }

  fits({ vary, variant, status }: EntryDraft): boolean {
    const whole = this.#whole.variant(vary);
    return variant === whole || (status === 206 && variant.startsWith(partVariant(whole, '')));
  }

  personal(): string {
    return this.#whole.personal?.() ?? '';
  }

  judge(entry: Entry, now: number): EntryUse {
    return this.#whole.judge(entry, now);
  }

  mayServeStale(entry: Entry, now: number, disconnected: boolean): boolean {
    return this.#whole.mayServeStale(entry, now, disconnected);
  }

  repeatableUntil(entry: Entry): number {
    return this.#whole.repeatableUntil(entry);
  }

  request(): FetchRequest {
    const request = this.#whole.request(undefined);
    return { ...request, headers: request.headers.append('Range', this.#ask.range) };
  }

  ownRequest(): FetchRequest {
    return this.#whole.ownRequest();
  }

  decide(head: Head): Decision {
    // An origin that does not know ranges sends the whole.
    if (head.status === 200) return this.#whole.decide(head);
    const part = head.status === 206 ? this.#partOf(head.headers) : undefined;
    if (!part) return { keep: 'no', reason: 'no-part' };
    // What may be kept of a part is what may be kept of its whole. RFC 9111 §3.3.
    const decision = this.#whole.decide({ ...head, headers: part, status: 200 });
    if (decision.keep !== 'store') return { keep: 'no', reason: 'no-part' };
    const { draft } = decision;
    const variant = partVariant(draft.variant, this.#ask.place(draft.variant, draft.headers));
    return { keep: 'store', draft: { ...draft, status: 206, variant } };
  }

  // The fields to keep with a part. Absent: it is none that is kept.
  #partOf(headers: HeaderList): HeaderList | undefined {
    const range = contentRangeOf(headers);
    const isTagged = strongTag(headers) !== undefined;
    if (!range || !(isTagged || this.#ask.keepsUntagged)) return undefined;
    const length = Number(headers.get('content-length') ?? lengthOf(range));
    if (length === lengthOf(range)) return headers;
    // An incomplete part holds what came of it. What may be joined has to say itself what it holds.
    if (isTagged || length < 1) return undefined;
    const held = `bytes ${range.start}-${range.start + length - 1}/${range.total}`;
    return headers.with('Content-Range', held);
  }

  freshen(entry: Entry, head: Head): Freshened {
    return this.#whole.freshen(entry, head);
  }

  served(entry: Entry, now: number): HeaderList {
    return this.#whole.served(entry, now);
  }

  passed(head: Head): HeaderList {
    return this.#whole.passed(head);
  }
}

function onMiss({ range, headers }: RangeAsk): OnMiss {
  if (!isOneRange(range)) return 'forward';
  return OWN_CONDITIONS.some((field) => headers.has(field)) ? 'alone' : 'share';
}
