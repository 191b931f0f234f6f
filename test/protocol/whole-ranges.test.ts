import { expect } from 'chai';
import { gate, wholeOf } from './pull-place.ts';
import { inShort, openRanged, type RangedPlace, SIZE } from './ranged-place.ts';

/** More than is fetched to its end when nobody is left. */
const LARGE = 24 * 1024 * 1024;

describe('ranges: whole', () => {
  let at: RangedPlace;
  let path = '';
  let tests = 0;
  const range = (field: string): Record<string, string> => ({ range: `bytes=${field}` });
  const requests = (): number => at.place.origin.counts(path).requests;

  before(async () => {
    at = await openRanged({ ranges: 'whole' });
  });

  after(async () => {
    await at[Symbol.asyncDispose]();
  });

  beforeEach(() => {
    path = `/${++tests}`;
  });

  it('fetches the whole for a range, and cuts the range out of it', async () => {
    const answer = await at.settled(path, range('100-199'));
    expect(inShort(answer)).to.deep.equal([206, `bytes 100-199/${SIZE}`, 'MISS']);
    expect(answer.body.equals(at.bytes(path).subarray(100, 200))).to.equal(true);
    expect(at.seen(path)).to.deep.equal([['', '']]);
    expect(inShort(await at.get(path, range('-1')))).to.deep.equal([
      206,
      'bytes 999-999/1000',
      'HIT',
    ]);
    expect(await at.parts(path)).to.deep.equal([]);
  });

  it('serves many ranges from one fetch as it grows, several of one request too', async () => {
    const half = gate();
    at.serve(path, () => ({ pause: { at: 500, until: half.opened } }));
    // This one lies in the half that is there.
    const early = await at.get(path, range('0-99'));
    expect(early.body.equals(at.bytes(path).subarray(0, 100))).to.equal(true);
    const later = Array.from({ length: 20 }, async (_, i) => {
      const answer = await at.get(path, range(`${i * 50}-${i * 50 + 49}`));
      expect(answer.body.equals(at.bytes(path).subarray(i * 50, i * 50 + 50))).to.equal(true);
    });
    const several = at.get(path, range('0-1,998-'));
    const unsatisfiable = await at.get(path, range('1000-'));
    expect(inShort(unsatisfiable).slice(0, 2)).to.deep.equal([416, 'bytes */1000']);
    half.open();
    await Promise.all(later);
    const { status, headers, body } = await several;
    expect([status, headers.get('content-length')]).to.deep.equal([206, String(body.length)]);
    await at.place.settled();
    expect(requests()).to.equal(1);
  });

  it('fetches a large body to its end though its client left', async () => {
    const half = gate();
    at.serve(path, () => ({ size: LARGE, pause: { at: LARGE / 2, until: half.opened } }));
    const leaving = await at.place.ask(path, { headers: [['Range', 'bytes=0-99']] });
    const body = leaving.content?.open({ range: { start: 0, end: 99 } });
    for await (const piece of body ?? []) expect((piece as Buffer).length).to.equal(100);
    leaving.content?.close();
    half.open();
    await at.place.settled();
    const kept = await at.place.ask(path);
    expect([kept.report.phase, (await wholeOf(kept)).body.length]).to.deep.equal(['hit', LARGE]);
  });

  it('gives the whole where If-Range names another, or the length is not known yet', async () => {
    const other = await at.settled(path, { ...range('0-9'), 'if-range': '"other"' });
    expect(inShort(other)).to.deep.equal([200, undefined, 'MISS']);
    path = `${path}-chunked`;
    at.serve(path, () => ({ chunked: true }));
    expect(inShort(await at.settled(path, range('0-9')))).to.deep.equal([200, undefined, 'MISS']);
    expect(inShort(await at.get(path, range('0-9')))[0]).to.equal(206);
  });

  it('gives the whole of what must not be kept, to each who asks', async () => {
    at.serve(path, () => ({ headers: [['Cache-Control', 'no-store']] }));
    for (const count of [1, 2]) {
      const answer = await at.settled(path, range('0-9'));
      expect([answer.status, answer.body.equals(at.bytes(path))]).to.deep.equal([200, true]);
      expect(requests()).to.equal(count);
    }
  });

  it('passes a range on as it is where the request goes past the cache', async () => {
    const answer = await at.get(path, { ...range('0-9'), cookie: 'a=1' });
    expect(inShort(answer)).to.deep.equal([206, 'bytes 0-9/1000', 'BYPASS']);
    expect(at.seen(path)).to.deep.equal([['bytes=0-9', '']]);
  });

  it('sends a condition without the range, so that a 200 is whole', async () => {
    const answer = await at.settled(path, { ...range('0-9'), 'if-none-match': '"other"' });
    expect([answer.status, at.seen(path)]).to.deep.equal([206, [['', '']]]);
    expect(inShort(await at.get(path))[2]).to.equal('HIT');
  });
});
