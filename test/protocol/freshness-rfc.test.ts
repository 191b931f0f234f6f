import { expect } from 'chai';
import fc from 'fast-check';
import CachePolicy from 'http-cache-semantics';
import { dateAt, fields, judged, outcome, type ResponseParts, T0 } from './messages.ts';

const TAG = 'ETag: "a"';
const COOKIE = 'Set-Cookie: a=b';

describe('judgeResponse in profile rfc', () => {
  const rfc = (parts: ResponseParts): number | string => outcome({ profile: 'rfc', ...parts });
  const modified = `Last-Modified: ${dateAt(-3600)}`;
  const cases: readonly [name: string, parts: ResponseParts, expected: number | string][] = [
    ['guesses a tenth of the time since Last-Modified', { response: [modified] }, 360],
    [
      'guesses at most a day',
      { response: ['Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT'] },
      86_400,
    ],
    ['guesses nothing from a broken date', { response: ['Last-Modified: yesterday', TAG] }, 0],
    ['guesses for a 301', { status: 301, response: [modified] }, 360],
    ['guesses not for a 302', { status: 302, response: [modified] }, 'no-lifetime'],
    [
      'guesses for a 302 that is public',
      { status: 302, response: [modified, 'Cache-Control: public'] },
      360,
    ],
    ['guesses at most a minute for a 404', { status: 404, response: [modified] }, 60],
    ['guesses not for a 500', { status: 500, response: [modified] }, 'no-lifetime'],
    [
      'guesses at most a minute for a 500 that is public',
      { status: 500, response: [modified, 'Cache-Control: public'] },
      60,
    ],
    ['keeps an explicit 503', { status: 503, response: ['Cache-Control: max-age=60'] }, 60],
    ['keeps an explicit 299', { status: 299, response: ['Cache-Control: max-age=60'] }, 60],
    ['keeps no 206', { status: 206, response: ['Cache-Control: max-age=60'] }, 'status'],
    ['keeps a tag without lifetime, stale', { response: [TAG] }, 0],
    ['keeps nothing that has neither', { response: [] }, 'already-stale'],
    ['keeps no Set-Cookie', { response: [COOKIE, 'Cache-Control: max-age=60'] }, 'set-cookie'],
    [
      'keeps Set-Cookie where the rule says so',
      { setCookie: 'store', response: [COOKIE, 'Cache-Control: max-age=60'] },
      60,
    ],
    [
      'refuses Authorization by max-age',
      { request: ['Authorization: x'], response: ['Cache-Control: max-age=60'] },
      'authorization',
    ],
    [
      'allows Authorization by public',
      { request: ['Authorization: x'], response: ['Cache-Control: public, max-age=60'] },
      60,
    ],
    [
      'allows Authorization by s-maxage',
      { request: ['Authorization: x'], response: ['Cache-Control: s-maxage=60'] },
      60,
    ],
    [
      'allows Authorization by must-revalidate',
      { request: ['Authorization: x'], response: ['Cache-Control: must-revalidate, max-age=60'] },
      60,
    ],
    ['refuses private', { response: ['Cache-Control: PRIVATE, max-age=60'] }, 'private'],
    [
      'lifts no-store by must-understand',
      { response: ['Cache-Control: max-age=60, no-store, must-understand'] },
      60,
    ],
    [
      'keeps not what it does not understand',
      { status: 599, response: ['Cache-Control: max-age=60, must-understand'] },
      'status',
    ],
  ];
  for (const [name, parts, expected] of cases) {
    it(name, () => {
      expect(rfc(parts)).to.equal(expected);
    });
  }
});

describe('judgeResponse against the plain library', () => {
  it('agrees on storing and on the lifetime of plain answers', () => {
    const directives = fc.uniqueArray(
      fc.oneof(
        fc.constantFrom('public', 'private', 'no-store', 'ext=1', 'must-revalidate'),
        fc.nat(10_000).map((seconds) => `max-age=${seconds}`),
        fc.nat(10_000).map((seconds) => `s-maxage=${seconds}`),
      ),
      { selector: (directive) => directive.split('=')[0], maxLength: 4 },
    );
    const input = fc.record({
      directives,
      // The library keeps other errors too; here only what both know.
      status: fc.constantFrom(200, 203, 204, 300, 301, 302, 303, 307, 308),
      expires: fc.option(fc.integer({ min: -1000, max: 100_000 }), { nil: undefined }),
      // Young enough for the guess to stay below its limit.
      modified: fc.option(fc.integer({ min: 1, max: 800_000 }), { nil: undefined }),
      authorized: fc.boolean(),
    });
    fc.assert(
      fc.property(input, ({ directives: list, status, expires, modified, authorized }) => {
        const response = [`Date: ${dateAt(0)}`, TAG];
        if (list.length > 0) response.push(`Cache-Control: ${list.join(', ')}`);
        if (expires !== undefined) response.push(`Expires: ${dateAt(expires)}`);
        if (modified !== undefined) response.push(`Last-Modified: ${dateAt(-modified)}`);
        const request = authorized ? ['Authorization: x'] : [];
        const ours = judged({ profile: 'rfc', status, request, response });
        const plain = new CachePolicy(
          { method: 'GET', url: '/', headers: authorized ? { authorization: 'x' } : {} },
          { status, headers: fields(...response).toRecord() as Record<string, string> },
          { shared: true },
        );
        expect(ours.storable).to.equal(plain.storable());
        if (!ours.storable) return;
        // A guess needs leave by status or `public` (RFC 9111 §4.2.2); the library takes any lifetime as leave.
        const seconds = plain.maxAge();
        expect((ours.freshUntil - T0) / 1000).to.be.closeTo(seconds, 0.001);
      }),
      { numRuns: 3000 },
    );
  });
});
