import type { FetchRequest } from '../fetchers/fetcher.ts';
import { HeaderList } from '../headers.ts';
import { endToEnd } from '../hop-by-hop.ts';
import type { Entry, EntryDraft, EntryPolicy } from '../manifest/entry.ts';
import type { BodyInspector, Findings } from '../stashers/body-inspector.ts';
import type { FlightSubject } from '../stashers/fills.ts';
import { ageOf } from './age.ts';
import { type EntryUse, isFromTheFuture } from './entry-use.ts';
import type { ProtocolRequest } from './protocol.ts';
import type { Decision, Head, OnMiss, Resource } from './resource.ts';
import {
  changesMeaning,
  type Freshened,
  mergeConfirmed,
  validationHeaders,
} from './revalidation.ts';
import { type RouteFound, servedCacheControl, upstreamPath } from './route-table.ts';

/** Milliseconds since the epoch that never come: 9999-12-31. */
/** `freshUntil` of what never changes: the end of the year 9999. Milliseconds since the epoch. */
export const FOREVER = 253_402_300_799_000;

/** Fields of an upstream's answer that say something about the bytes; the rest is the upstream's own business. */
const KEPT_FIELDS = [
  'content-type',
  'content-length',
  'content-encoding',
  'etag',
  'last-modified',
  'date',
  'age',
  'retry-after',
  'location',
] as const;

/**
 * One request of a protocol that is a table of routes: what may be kept and for how long follows from the class of the
 * route, never from the upstream's fields. Bytes pass as they come.
 */
export class TableResource implements Resource {
  readonly subject: FlightSubject;
  readonly onMiss: OnMiss;
  readonly immutable: boolean;
  readonly #request: ProtocolRequest;
  readonly #found: RouteFound;

  constructor(subject: FlightSubject, request: ProtocolRequest, found: RouteFound) {
    this.subject = subject;
    this.#request = request;
    this.#found = found;
    this.immutable = found.route.promise === 'pinned';
    this.onMiss = request.method === 'HEAD' ? 'forward' : 'share';
  }

  select(entries: readonly Entry[]): Entry | undefined {
    return entries[0];
  }

  variant(): string {
    return '';
  }

  judge(entry: Entry, now: number): EntryUse {
    if (now >= entry.freshUntil) return 'revalidate';
    if (entry.freshUntil < FOREVER && isFromTheFuture(entry, now)) return 'revalidate';
    return now < this.repeatableUntil(entry) ? 'fresh' : 'fresh-refresh';
  }

  mayServeStale(entry: Entry, now: number, disconnected: boolean): boolean {
    return disconnected || now < entry.freshUntil;
  }

  /** Half of its lifetime: in the other half it is refreshed behind, so that what is asked often never makes anyone wait. */
  repeatableUntil(entry: Entry): number {
    return entry.freshUntil - (this.#ttlMs(entry.status) ?? 0) / 2;
  }

  request(entry: Entry | undefined): FetchRequest {
    // Absence is asked about anew: a confirmed one would live as long as what it is the absence of.
    return this.#toSend('GET', entry?.status === 200 ? entry : undefined);
  }

  ownRequest(): FetchRequest {
    return this.#toSend(this.#request.method, undefined);
  }

  #toSend(method: string, entry: Entry | undefined): FetchRequest {
    const { publicUrl, forwarding } = this.#request;
    // The bytes are shared by all clients, so none of them chooses their coding.
    const base = new HeaderList([['Accept-Encoding', 'identity']]);
    const headers = validationHeaders(entry, base);
    return {
      method,
      path: upstreamPath(this.#found.key),
      publicUrl,
      headers: headers.concat(forwarding),
    };
  }

  decide(head: Head): Decision {
    if (!head.complete) return { keep: 'no', reason: 'close-delimited' };
    const { route } = this.#found;
    const negative = isAbsence(head.status);
    if (head.status !== 200 && !negative) return { keep: 'no', reason: `status ${head.status}` };
    if (negative && route.negativeTtlMs === 0) return { keep: 'no', reason: 'negative' };
    const validity = this.#validity(head, head.status);
    const draft: EntryDraft = {
      namespace: this.subject.namespace,
      key: this.subject.key,
      variant: '',
      rule: this.subject.rule,
      method: 'GET',
      url: upstreamPath(this.#found.key),
      publicHost: this.#request.host,
      vary: [],
      requestHeaders: HeaderList.empty,
      status: head.status,
      headers: endToEnd(head.headers).only(KEPT_FIELDS).without('age'),
      source: head.source,
      ...validity,
    };
    return { keep: negative && route.probed !== true ? 'memory' : 'store', draft };
  }

  inspector({ status }: EntryDraft): BodyInspector | undefined {
    const { route, params } = this.#found;
    return status === 200 ? route.inspector?.(params) : undefined;
  }

  confirmation({ status }: EntryDraft): ((findings: Findings) => Promise<void>) | undefined {
    const { route, params } = this.#found;
    return status === 200 ? route.confirmation?.(params) : undefined;
  }

  freshen(entry: Entry, head: Head): Freshened {
    const headers = mergeConfirmed(entry.headers, head.headers, head.receivedAt).only(KEPT_FIELDS);
    return {
      kind: 'confirmed',
      keep: true,
      headers,
      changedHeaders: changesMeaning(entry.headers, headers),
      ...this.#validity(head, entry.status),
    };
  }

  served(entry: Entry, now: number): HeaderList {
    const age = ageOf(entry, now);
    // A cache below subtracts the age that it is told from the lifetime that it is told.
    const lifetime = entry.freshUntil - now + age * 1000;
    const headers = this.#dressed(entry.headers.without('content-length'), entry.status, lifetime);
    const tagged = entry.status === 200 && !headers.has('etag');
    return (tagged ? headers.with('ETag', `"${entry.digest}"`) : headers).with('Age', String(age));
  }

  passed(head: Head): HeaderList {
    const headers = endToEnd(head.headers).only(KEPT_FIELDS);
    return this.#dressed(headers, head.status, this.#found.route.ttlMs ?? FOREVER);
  }

  #dressed(headers: HeaderList, status: number, leftMs: number): HeaderList {
    const { route } = this.#found;
    const typed = headers.has('content-type')
      ? headers
      : headers.with('Content-Type', route.contentType);
    if (status === 200) return typed.with('Cache-Control', servedCacheControl(route, leftMs));
    const seconds = Math.max(0, Math.floor(Math.min(leftMs, route.negativeTtlMs) / 1000));
    return typed.with(
      'Cache-Control',
      isAbsence(status) ? `public, max-age=${seconds}` : 'no-store',
    );
  }

  // Absent: for good.
  #ttlMs(status: number): number | undefined {
    const { ttlMs, negativeTtlMs } = this.#found.route;
    return isAbsence(status) ? negativeTtlMs : ttlMs;
  }

  #validity(
    head: Head,
    status: number,
  ): { policy: EntryPolicy; freshUntil: number; staleAt: number } {
    const ttlMs = this.#ttlMs(status);
    // A peer says how long it has had the answer; what is left of its lifetime is ours.
    const age = Number(/^\d{1,9}$/.exec(head.headers.get('age') ?? '')?.[0] ?? 0);
    const freshUntil = ttlMs === undefined ? FOREVER : head.receivedAt + ttlMs - age * 1000;
    return {
      freshUntil,
      staleAt: freshUntil,
      policy: {
        receivedAt: head.receivedAt,
        initialAge: age,
        alwaysRevalidate: false,
        mustRevalidate: false,
        staleWhileRevalidateUntil: 0,
        staleIfErrorUntil: 0,
      },
    };
  }
}

function isAbsence(status: number): boolean {
  return status === 404 || status === 410;
}
