import { type HeaderLine, HeaderList } from '../../src/headers.ts';
import type { Entry } from '../../src/manifest/entry.ts';
import { judgeResponse, type ResponseJudgement } from '../../src/protocol/freshness.ts';
import { formatHttpDate } from '../../src/protocol/http-date.ts';
import type { ArrivedResponse } from '../../src/protocol/semantics.ts';
import { variantOf, varyRequestHeaders } from '../../src/protocol/vary.ts';

/** A whole second, so that a Date made of it says it exactly. */
export const T0: number = Date.UTC(2026, 10, 21, 12);

/** IMF-fixdate `seconds` after T0. */
export function dateAt(seconds: number): string {
  return formatHttpDate(T0 + seconds * 1000);
}

/** Field lines from `name: value` texts. */
export function fields(...lines: readonly string[]): HeaderList {
  return new HeaderList(
    lines.map((line): HeaderLine => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
}

/** What differs from a plain 200 to a plain GET that arrived at T0 without delay. */
export type ResponseParts = Partial<Omit<ArrivedResponse, 'requestHeaders' | 'responseHeaders'>> & {
  readonly request?: readonly string[];
  readonly response?: readonly string[];
};

/** Judges a 200 to a GET that arrived at T0, profile strict, unless said otherwise. */
export function judged(parts: ResponseParts): ResponseJudgement {
  const { request = [], response = [], ...rest } = parts;
  return judgeResponse({
    method: 'GET',
    status: 200,
    profile: 'strict',
    requestedAt: T0,
    receivedAt: T0,
    cookies: 'bypass',
    ...rest,
    requestHeaders: fields(...request),
    responseHeaders: fields(...response),
  });
}

/** The entry that a response becomes. Throws when it may not be kept. */
export function entryOf(parts: ResponseParts): Entry {
  const judgement = judged(parts);
  if (!judgement.storable) throw new Error(`not storable: ${judgement.reason}`);
  const { policy, freshUntil, staleAt, vary } = judgement;
  const request = fields(...(parts.request ?? []));
  return {
    namespace: 'web',
    key: 'http://www.example.com/',
    variant: variantOf(vary, request),
    rule: 'site',
    method: 'GET',
    url: '/',
    publicHost: 'www.example.com',
    vary,
    requestHeaders: varyRequestHeaders(vary, request),
    status: parts.status ?? 200,
    headers: fields(...(parts.response ?? [])),
    policy,
    source: 'origin',
    freshUntil,
    staleAt,
    digest: '0'.repeat(64),
    size: 0,
    firstSeenAt: T0,
    storedAt: T0,
    jid: 1,
  };
}

/** Seconds of freshness on arrival, or why the answer is not kept. */
export function outcome(parts: ResponseParts): number | string {
  const judgement = judged(parts);
  return judgement.storable
    ? (judgement.freshUntil - (parts.receivedAt ?? T0)) / 1000
    : judgement.reason;
}
