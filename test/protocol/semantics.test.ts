import { expect } from 'chai';
import CachePolicy from 'http-cache-semantics';
import { judgeResponse } from '../../src/protocol/freshness.ts';
import {
  type ArrivedResponse,
  plainDate,
  plainExpires,
  readAnswer,
} from '../../src/protocol/semantics.ts';
import { dateAt, fields, outcome, T0 } from './messages.ts';

interface Case {
  readonly status?: number;
  readonly request?: readonly string[];
  readonly response: readonly string[];
}

/** Seconds of freshness that the plain library gives, or that it does not keep it. */
function library({ status = 200, request = [], response }: Case): number | string {
  const policy = new CachePolicy(
    { method: 'GET', url: '/', headers: fields(...request).toRecord() as Record<string, string> },
    { status, headers: fields(...response).toRecord() as Record<string, string> },
  );
  return policy.storable() ? policy.maxAge() : 'not kept';
}

const ours = (asked: Case): number | string => outcome({ profile: 'rfc', ...asked });

function arrived({ status = 200, request = [], response }: Case): ArrivedResponse {
  return {
    method: 'GET',
    requestHeaders: fields(...request),
    status,
    responseHeaders: fields(...response),
    profile: 'rfc',
    requestedAt: T0,
    receivedAt: T0,
    cookies: 'bypass',
  };
}

const DATE = `Date: ${dateAt(0)}`;
const TAG = 'ETag: "a"';

/** What the plain library makes of an answer, and what is right. A library that is mended fails here: its correction can go. */
const CORRECTIONS: readonly (readonly [
  what: string,
  asked: Case,
  plain: number | string,
  right: number | string,
])[] = [
  [
    'reads names in any case (RFC 9111 §5.2)',
    { response: [DATE, 'Cache-Control: No-StOrE, max-age=60'] },
    60,
    'no-store',
  ],
  [
    'takes a comma in quotes for data (RFC 9111 §5.2)',
    { response: [DATE, TAG, 'Cache-Control: max-age=0, ext="a, max-age=3600"'] },
    3600,
    0,
  ],
  [
    'takes no number that is none (RFC 9111 §1.2.2)',
    { response: [DATE, TAG, 'Cache-Control: max-age=60a'] },
    60,
    0,
  ],
  [
    'takes the smallest of repeated numbers (RFC 9111 §4.2.1)',
    { response: [DATE, TAG, 'Cache-Control: max-age=10, max-age=60'] },
    60,
    10,
  ],
  [
    'gives proxy-revalidate its lifetime (RFC 9111 §5.2.2.8)',
    { response: [DATE, 'Cache-Control: max-age=60, proxy-revalidate'] },
    0,
    60,
  ],
  [
    'takes an Expires without comma for expired (RFC 9111 §5.3)',
    { response: [DATE, TAG, `Expires: ${dateAt(60).replace(',', '')}`] },
    60,
    0,
  ],
  [
    'gives immutable no lifetime (RFC 8246 §2)',
    { response: [DATE, TAG, 'Cache-Control: immutable'] },
    86_400_000,
    0,
  ],
  [
    'keeps any final status that says for how long (RFC 9111 §3)',
    { status: 429, response: [DATE, 'Cache-Control: max-age=60'] },
    'not kept',
    60,
  ],
  [
    'keeps no-store that must-understand lifts (RFC 9111 §5.2.2.3)',
    { response: [DATE, 'Cache-Control: max-age=60, no-store, must-understand'] },
    'not kept',
    60,
  ],
  [
    'keeps private about one field (RFC 9111 §5.2.2.7)',
    { response: [DATE, 'Cache-Control: max-age=60, private="x-user"'] },
    'not kept',
    60,
  ],
  [
    'keeps no-cache about one field fresh (RFC 9111 §5.2.2.4)',
    { response: [DATE, TAG, 'Cache-Control: max-age=60, no-cache="x-user"'] },
    0,
    60,
  ],
  [
    'guesses a day at most (RFC 9111 §4.2.2)',
    { response: [DATE, `Last-Modified: ${dateAt(-3_650 * 86_400)}`] },
    365 * 86_400,
    86_400,
  ],
  [
    'reads a field for caches like this one first (RFC 9213 §2.2)',
    { response: [DATE, 'Cache-Control: no-store', 'CDN-Cache-Control: max-age=60'] },
    'not kept',
    60,
  ],
];

describe('what is put right of http-cache-semantics', () => {
  for (const [what, asked, plain, right] of CORRECTIONS) {
    it(what, () => {
      expect([library(asked), ours(asked)]).to.deep.equal([plain, right]);
    });
  }

  it('lets the time of arrival stand in for a Date that is broken (RFC 9110 §6.6.1)', () => {
    expect(plainDate(arrived({ response: ['Date: now'] }))).to.equal(dateAt(0));
    expect(plainDate(arrived({ response: [`Date: ${dateAt(-5)}`] }))).to.equal(dateAt(-5));
  });

  it('takes two Expires for expired (RFC 9111 §5.3)', () => {
    const line = `Expires: ${dateAt(60)}`;
    expect(plainExpires(arrived({ response: [line, line] }))).to.equal('0');
    expect(plainExpires(arrived({ response: [] }))).to.equal(undefined);
  });

  it('tells the library no more of credentials than that there are some', () => {
    const secret = 'Authorization: Bearer canary';
    const keeps = arrived({ request: [secret], response: ['Cache-Control: public, max-age=60'] });
    expect(readAnswer(keeps).storable).to.equal(true);
    const refuses = arrived({ request: [secret], response: ['Cache-Control: max-age=60'] });
    expect(readAnswer(refuses).storable).to.equal(false);
  });

  it('withholds the fields that a directive names, and no others', () => {
    const asked = arrived({
      response: ['Cache-Control: max-age=60, private="X-User, Set-Cookie"', 'X-User: me', 'X-A: 1'],
    });
    const judged = judgeResponse(asked);
    if (!judged.storable) throw new Error(judged.reason);
    expect(judged.headers.has('x-user')).to.equal(false);
    expect(judged.headers.get('x-a')).to.equal('1');
  });

  for (const argument of ['""', '"a b"', '"etag"', '"Vary, x-user"', '","'])
    it(`takes private=${argument} for the whole answer`, () => {
      expect(ours({ response: [`Cache-Control: max-age=60, private=${argument}`] })).to.equal(
        'private',
      );
    });
});
