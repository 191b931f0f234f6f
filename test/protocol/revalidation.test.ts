import { expect } from 'chai';
import { type Freshened, freshen, validationHeaders } from '../../src/protocol/revalidation.ts';
import { dateAt, entryOf, fields, T0 } from './messages.ts';

const LATER = T0 + 100_000;
const STORED = ['Cache-Control: max-age=60', 'ETag: "a"', `Date: ${dateAt(0)}`, 'X-A: 1'];

function confirm(stored: readonly string[], ...answer: string[]): Freshened {
  const entry = entryOf({ response: stored });
  return freshen(entry, fields(...answer), LATER, LATER, { profile: 'strict' });
}

function confirmed(
  stored: readonly string[],
  ...answer: string[]
): Freshened & { kind: 'confirmed' } {
  const result = confirm(stored, ...answer);
  if (result.kind !== 'confirmed') throw new Error(result.kind);
  return result;
}

describe('validationHeaders', () => {
  it('asks about the stored answer only, byte for byte', () => {
    const entry = entryOf({
      response: ['Cache-Control: max-age=60', 'ETag: W/"a b"', `Last-Modified: ${dateAt(-90)}`],
    });
    const request = fields(
      'Accept: text/html',
      'If-None-Match: "client"',
      'If-Modified-Since: x',
      'If-Match: "client"',
      'If-Unmodified-Since: x',
      'If-Range: "client"',
      'Range: bytes=0-1',
    );
    expect(validationHeaders(entry, request).lines).to.deep.equal([
      ['Accept', 'text/html'],
      ['If-None-Match', 'W/"a b"'],
      ['If-Modified-Since', dateAt(-90)],
    ]);
  });

  it('asks for the whole where the stored answer has no validator', () => {
    const entry = entryOf({ response: ['Cache-Control: max-age=60'] });
    expect(validationHeaders(entry, fields('If-None-Match: "client"')).lines).to.deep.equal([]);
  });
});

describe('freshen', () => {
  it('takes a 304 that names nothing as the answer to what was asked', () => {
    const result = confirmed(STORED, `Date: ${dateAt(100)}`);
    expect(result).to.include({ keep: true, changedHeaders: false, freshUntil: LATER + 60_000 });
    expect(result.headers.get('etag')).to.equal('"a"');
  });

  it('starts the age anew', () => {
    const result = confirmed([...STORED, 'Age: 50'], `Date: ${dateAt(100)}`);
    expect(result.headers.has('age')).to.equal(false);
    expect(result.policy.initialAge).to.equal(0);
    expect(confirmed(STORED, `Date: ${dateAt(100)}`, 'Age: 20').freshUntil).to.equal(
      LATER + 40_000,
    );
  });

  it('starts the age anew when the 304 has no Date', () => {
    const result = confirmed(STORED);
    expect(result.headers.get('date')).to.equal(dateAt(100));
    expect(result.freshUntil).to.equal(LATER + 60_000);
  });

  it('replaces all lines of a field and adds new ones', () => {
    const stored = [...STORED, 'x-a: 2', 'X-B: 3'];
    const result = confirmed(stored, `Date: ${dateAt(100)}`, 'X-A: 4', 'x-a: 5', 'X-New: 6');
    expect(result.changedHeaders).to.equal(true);
    expect(result.headers.lines).to.deep.equal([
      ['Cache-Control', 'max-age=60'],
      ['ETag', '"a"'],
      ['Date', dateAt(100)],
      ['X-A', '4'],
      ['x-a', '5'],
      ['X-B', '3'],
      ['X-New', '6'],
    ]);
  });

  it('leaves alone what describes the body, the connection or one client', () => {
    const stored = [...STORED, 'Content-Length: 9', 'Content-Encoding: gzip'];
    const result = confirmed(
      stored,
      `Date: ${dateAt(0)}`,
      'Content-Length: 0',
      'content-encoding: br',
      'Content-Range: bytes 0-1/2',
      'Set-Cookie: a=b',
      'Connection: x-hop',
      'X-Hop: 1',
      'Transfer-Encoding: chunked',
      'Proxy-Authentication-Info: x',
    );
    expect(result.headers.lines).to.deep.equal(fields(...stored).lines);
    expect(result.changedHeaders).to.equal(false);
  });

  it('uses the new Cache-Control and calls only a new meaning a change', () => {
    const respelled = confirmed(STORED, 'cache-control: Max-Age="60"', `Expires: ${dateAt(999)}`);
    expect(respelled.changedHeaders).to.equal(false);
    const longer = confirmed(STORED, 'Cache-Control: max-age=90');
    expect(longer).to.include({ changedHeaders: true, freshUntil: LATER + 90_000 });
  });

  it('answers from an entry that a 304 forbids to keep, and drops it', () => {
    for (const directive of ['no-store', 'private']) {
      const result = confirmed(STORED, `Cache-Control: max-age=60, ${directive}`);
      expect(result).to.include({ keep: false, freshUntil: LATER, staleAt: LATER });
      expect(result.policy.alwaysRevalidate).to.equal(true);
    }
  });

  it('keeps an entry that is stale again at once', () => {
    const result = confirmed([`Expires: ${dateAt(9)}`, 'ETag: "a"'], `Date: ${dateAt(100)}`);
    expect(result.keep).to.equal(true);
    expect(result.freshUntil).to.be.at.most(LATER);
  });

  it('gives up an entry when the 304 names another tag', () => {
    expect(confirm(STORED, 'ETag: "b"').kind).to.equal('mismatch');
    expect(confirm(STORED, 'ETag: W/"b"').kind).to.equal('mismatch');
    expect(confirm(STORED, 'ETag: W/"a"').kind).to.equal('confirmed');
    expect(confirm(STORED, 'ETag: "a"', `Last-Modified: ${dateAt(50)}`).kind).to.equal('confirmed');
  });

  it('gives up an entry known by date when the 304 names another date or a strong tag', () => {
    const byDate = ['Cache-Control: max-age=60', `Last-Modified: ${dateAt(-9)}`];
    expect(confirm(byDate).kind).to.equal('confirmed');
    expect(confirm(byDate, `Last-Modified: ${dateAt(-9)}`, 'ETag: "x"').kind).to.equal('confirmed');
    expect(confirm(byDate, `Last-Modified: ${dateAt(50)}`).kind).to.equal('mismatch');
    expect(confirm(byDate, 'ETag: "x"').kind).to.equal('mismatch');
  });

  it('gives up an entry when the 304 varies on more than it was filed under', () => {
    const stored = [...STORED, 'Vary: Accept'];
    expect(confirm(stored, 'Vary: Accept, Origin').kind).to.equal('mismatch');
    expect(confirm(stored, 'Vary: *').kind).to.equal('mismatch');
    expect(confirmed(stored, 'Vary: accept').headers.get('vary')).to.equal('Accept');
    expect(confirm(stored).kind).to.equal('confirmed');
  });
});
