import type { FetchRequest } from '../fetchers/fetcher.ts';
import { HeaderList } from '../headers.ts';
import { endToEnd } from '../hop-by-hop.ts';
import type { Entry, EntryDraft, EntryPolicy } from '../manifest/entry.ts';
import type { FlightSubject } from '../stashers/fills.ts';
import { ageOf } from './age.ts';
import type { EntryUse } from './entry-use.ts';
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
const FOREVER = 253_402_300_799_000;
/** How long what was last known stands in for an upstream that fails: lists, and that something does not exist. Milliseconds. */
const STALE_IF_ERROR_MS = 7 * 86_400_000;

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
    return now < entry.freshUntil ? 'fresh' : 'revalidate';
  }

  mayServeStale(entry: Entry, now: number): boolean {
    return now < entry.policy.staleIfErrorUntil;
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
    const left = entry.freshUntil - now;
    const headers = this.#dressed(entry.headers.without('content-length'), entry.status, left);
    const tagged = entry.status === 200 && !headers.has('etag');
    return (tagged ? headers.with('ETag', `"${entry.digest}"`) : headers).with(
      'Age',
      String(ageOf(entry, now)),
    );
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

  #validity(
    head: Head,
    status: number,
  ): { policy: EntryPolicy; freshUntil: number; staleAt: number } {
    const { ttlMs: positiveTtlMs, negativeTtlMs } = this.#found.route;
    const ttlMs = isAbsence(status) ? negativeTtlMs : positiveTtlMs;
    // A peer says how long it has had the answer; what is left of its lifetime is ours.
    const age = Number(/^\d{1,9}$/.exec(head.headers.get('age') ?? '')?.[0] ?? 0);
    const freshUntil = ttlMs === undefined ? FOREVER : head.receivedAt + ttlMs - age * 1000;
    const staleIfErrorUntil = ttlMs === undefined ? 0 : freshUntil + STALE_IF_ERROR_MS;
    return {
      freshUntil,
      staleAt: Math.max(freshUntil, staleIfErrorUntil),
      policy: {
        receivedAt: head.receivedAt,
        initialAge: age,
        alwaysRevalidate: false,
        mustRevalidate: false,
        staleWhileRevalidateUntil: 0,
        staleIfErrorUntil,
      },
    };
  }
}

function isAbsence(status: number): boolean {
  return status === 404 || status === 410;
}
