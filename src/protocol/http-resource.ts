import type { FetchRequest } from '../fetchers/fetcher.ts';
import type { HeaderList } from '../headers.ts';
import { endToEnd } from '../hop-by-hop.ts';
import type { Entry, EntryDraft } from '../manifest/entry.ts';
import { TAG_FIELDS } from '../manifest/entry-tags.ts';
import type { FlightSubject } from '../stashers/fills.ts';
import type { Supply } from './arrival.ts';
import { type EntryUse, judgeEntry, mayServeStaleOnError, servedHeaders } from './entry-use.ts';
import type { PullThroughOptions } from './filler.ts';
import { hasValidator, judgeResponse } from './freshness.ts';
import type { HttpSettings } from './http-settings.ts';
import { type PartialUse, usePartial } from './partial-use.ts';
import type { ProtocolRequest } from './protocol.ts';
import type { RequestJudgement } from './request-directives.ts';
import type { Decision, Head, OnMiss, Resource } from './resource.ts';
import { confirmsByHead, type Freshened, freshen, validationHeaders } from './revalidation.ts';
import type { RuleSettings } from './rule.ts';
import { selectVariant, variantOf, varyRequestHeaders, withoutLanguageOrder } from './vary.ts';

/** An answer that lives shorter and cannot be asked about again is not worth a row. Milliseconds. */
const MIN_ROW_LIFETIME = 10_000;

/** Fields of a request that may make its answer one that others must not have. */
const PERSONAL = ['authorization', 'cookie', 'origin'];

/** One GET or HEAD request of a caching reverse proxy, RFC 9111. */
export class HttpResource implements Resource {
  readonly subject: FlightSubject;
  readonly onMiss: OnMiss;
  readonly immutable = false;
  /** A range of a rule that fetches wholes wants a few bytes, and others will want the rest. */
  readonly goesOn: boolean;
  readonly #request: ProtocolRequest;
  readonly #headers: HeaderList;
  /** What variants are chosen by. */
  readonly #choosing: HeaderList;
  readonly #settings: RuleSettings & HttpSettings;
  readonly #judgement: RequestJudgement;

  constructor(
    subject: FlightSubject,
    request: ProtocolRequest,
    settings: RuleSettings & HttpSettings,
    judgement: RequestJudgement,
  ) {
    this.subject = subject;
    this.#request = request;
    this.#settings = settings;
    this.#judgement = judgement;
    const wholes = judgement.bypass === undefined && fetchesWhole(request, settings);
    const headers = sendable(request, settings);
    this.#headers = wholes ? headers.without('range', 'if-range') : headers;
    this.#choosing =
      settings.languageOrder === 'ignore' ? withoutLanguageOrder(request.headers) : request.headers;
    this.onMiss = onMiss(request.method, this.#headers);
    this.goesOn = wholes;
  }

  select(entries: readonly Entry[]): Entry | undefined {
    return selectVariant(entries, this.#choosing);
  }

  variant(vary: readonly string[]): string {
    return variantOf(vary, this.#choosing);
  }

  personal(): string {
    const { headers } = this.#request;
    const named = PERSONAL.filter((name) => headers.has(name));
    return [...named, ...(this.#judgement.noStore ? ['no-store'] : [])].join();
  }

  partial(
    entries: readonly Entry[],
    supply: Supply,
    options: PullThroughOptions,
  ): PartialUse | undefined {
    const { method, headers } = this.#request;
    const { ranges, freshness } = this.#settings;
    if (method !== 'GET' || (entries.length === 0 && !headers.has('range'))) return undefined;
    const ask = { headers, forwards: ranges === 'forward', keepsUntagged: freshness === 'rfc' };
    return usePartial(this, { ...ask, entries }, supply, options);
  }

  judge(entry: Entry, now: number): EntryUse {
    return judgeEntry(entry, this.#judgement, now).use;
  }

  mayServeStale(entry: Entry, now: number, disconnected: boolean, unanswered = false): boolean {
    const allowedMs = unanswered ? this.#settings.staleOnDisconnectMs : 0;
    return mayServeStaleOnError(entry, now, disconnected ? Infinity : allowedMs);
  }

  repeatableUntil(entry: Entry): number {
    return entry.freshUntil;
  }

  request(entry: Entry | undefined, others: readonly Entry[] = []): FetchRequest {
    const method = entry && this.asksForHead ? 'HEAD' : 'GET';
    return this.#toSend(method, validationHeaders(entry, this.#headers, others));
  }

  get asksForHead(): boolean {
    return this.#request.method === 'HEAD';
  }

  confirms(entry: Entry, head: Head): boolean {
    return this.asksForHead && confirmsByHead(entry, head, this.#settings.freshness === 'strict');
  }

  selecting(vary: readonly string[]): Pick<EntryDraft, 'variant' | 'requestHeaders'> {
    return {
      variant: this.variant(vary),
      requestHeaders: varyRequestHeaders(vary, this.#choosing),
    };
  }

  ownRequest(): FetchRequest {
    return this.#toSend(this.#request.method, this.#headers);
  }

  #toSend(method: string, headers: HeaderList): FetchRequest {
    const { target, publicUrl, forwarding, body, host } = this.#request;
    return {
      method,
      path: target,
      publicUrl,
      headers: headers.concat(forwarding),
      body,
      host: this.#settings.preserveHost ? host : undefined,
    };
  }

  decide(head: Head): Decision {
    const { freshness, cookies, setCookie, targets } = this.#settings;
    // RFC 9112 §8: its end is only told from a cut where the connection ends cleanly, which is taken as proof in `rfc` alone.
    if (!head.complete && freshness === 'strict') return { keep: 'no', reason: 'close-delimited' };
    const judged = judgeResponse({
      method: 'GET',
      requestHeaders: this.#request.headers,
      status: head.status,
      responseHeaders: head.headers,
      profile: freshness,
      requestedAt: head.requestedAt,
      receivedAt: head.receivedAt,
      clockAhead: head.clockAhead,
      cookies,
      setCookie,
      targets,
    });
    if (!judged.storable) return { keep: 'no', reason: judged.reason };
    const draft: EntryDraft = {
      namespace: this.subject.namespace,
      key: this.subject.key,
      variant: this.variant(judged.vary),
      rule: this.subject.rule,
      method: 'GET',
      url: this.#request.target,
      publicHost: this.#request.host,
      vary: judged.vary,
      requestHeaders: varyRequestHeaders(judged.vary, this.#choosing),
      status: head.status,
      headers: endToEnd(judged.headers),
      policy: judged.policy,
      source: head.source,
      freshUntil: judged.freshUntil,
      staleAt: judged.staleAt,
    };
    const brief =
      judged.freshUntil - head.receivedAt < MIN_ROW_LIFETIME && !hasValidator(head.headers);
    const negative = head.status === 404 || head.status === 410;
    return { keep: brief || negative ? 'memory' : 'store', draft };
  }

  freshen(entry: Entry, head: Head): Freshened {
    const { headers, requestedAt, receivedAt } = head;
    const { freshness: profile, setCookie, targets } = this.#settings;
    const settings = { profile, setCookie, targets, clockAhead: head.clockAhead };
    const fresh = freshen(entry, headers, requestedAt, receivedAt, settings);
    if (fresh.kind === 'mismatch' || fresh.changedHeaders) return fresh;
    // Clients that go by Expires alone must be told the new one, so it is worth a row.
    const expires = fresh.headers.get('expires');
    const counts = !/max-?age/i.test(fresh.headers.get('cache-control') ?? '');
    return { ...fresh, changedHeaders: counts && expires !== entry.headers.get('expires') };
  }

  served(entry: Entry, now: number): HeaderList {
    return this.#outgoing(servedHeaders(entry, now));
  }

  passed(head: Head): HeaderList {
    return this.#outgoing(head.headers);
  }

  // Other nodes keep what they get, and have to know its tags.
  #outgoing(headers: HeaderList): HeaderList {
    const strips = this.#settings.tags === 'strip' && this.#request.peer === undefined;
    return strips ? headers.without(...TAG_FIELDS.keys()) : headers;
  }
}

// A range or a HEAD of what is not kept concerns this client alone; a condition may make the answer a 304 that does.
function onMiss(method: string, headers: HeaderList): OnMiss {
  if (method === 'HEAD' || headers.has('range')) return 'forward';
  return headers.has('if-none-match') || headers.has('if-modified-since') ? 'alone' : 'share';
}

function fetchesWhole({ method, headers }: ProtocolRequest, { ranges }: RuleSettings): boolean {
  return ranges === 'whole' && method === 'GET' && headers.has('range');
}

// Where cookies make no difference to what is kept, the origin must not see the first client's.
function sendable({ headers }: ProtocolRequest, { cookies }: RuleSettings): HeaderList {
  return cookies === 'ignore' ? headers.without('host', 'cookie') : headers.without('host');
}
