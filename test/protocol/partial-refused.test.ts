import { expect } from 'chai';
import { gate } from './pull-place.ts';
import { inShort, openRanged, type RangedPlace, SIZE } from './ranged-place.ts';

describe('parts that are not what they seem', () => {
  const weak = 'W/"1"';
  let strict: RangedPlace;
  let rfc: RangedPlace;
  /** The one that a test uses, and the target that is its own. */
  let at: RangedPlace;
  let path = '';
  let tests = 0;
  const range = (field: string): Record<string, string> => ({ range: `bytes=${field}` });
  const requests = (): number => at.place.origin.counts(path).requests;

  async function expectPart(start: number, end: number, cache: string): Promise<void> {
    const answer = await at.settled(path, range(`${start}-${end}`));
    expect(inShort(answer)).to.deep.equal([206, `bytes ${start}-${end}/${SIZE}`, cache]);
    expect(answer.body.equals(at.bytes(path).subarray(start, end + 1))).to.equal(true);
  }

  before(async () => {
    strict = await openRanged();
    rfc = await openRanged({ freshness: 'rfc' });
  });

  after(async () => {
    await strict[Symbol.asyncDispose]();
    await rfc[Symbol.asyncDispose]();
  });

  beforeEach(() => {
    at = strict;
    path = `/${++tests}`;
  });

  it('a part with a weak tag is not kept in profile strict', async () => {
    at.serve(path, () => ({ etag: weak }));
    await expectPart(0, 99, 'MISS');
    await expectPart(0, 99, 'MISS');
    expect(await at.place.entries(path)).to.deep.equal([]);
  });

  it('in profile rfc it answers ranges within it, and a GET asks for the whole', async () => {
    at = rfc;
    at.serve(path, () => ({ etag: weak }));
    await expectPart(0, 99, 'MISS');
    await expectPart(10, 19, 'HIT');
    await expectPart(100, 999, 'MISS');
    const whole = await at.settled(path);
    expect([whole.status, whole.body.equals(at.bytes(path))]).to.deep.equal([200, true]);
    // The rest was asked for in vain: nothing may be joined to it.
    expect(at.seen(path).slice(-2)).to.deep.equal([
      ['bytes=0-99', ''],
      ['', ''],
    ]);
  });

  it('in profile rfc one without a tag that is shorter than it says holds what came', async () => {
    at = rfc;
    const short = { status: 206, body: '01234', etag: false } as const;
    at.serve(path, () => ({ ...short, headers: [['Content-Range', 'bytes 4-9/10']] }));
    expect((await at.settled(path, range('-5'))).status).to.equal(206);
    const within = await at.settled(path, range('6-8'));
    expect(inShort(within)).to.deep.equal([206, 'bytes 6-8/10', 'HIT']);
    expect(String(within.body)).to.equal('234');
    await at.settled(path, range('-5'));
    expect(requests()).to.equal(2);
  });

  for (const [profile, etag] of [
    ['rfc', '"strong"'],
    ['strict', '"strong"'],
    ['strict', false],
  ] as const) {
    it(`in profile ${profile} such a part with ${etag === false ? 'no' : 'a strong'} tag is not kept`, async () => {
      at = profile === 'rfc' ? rfc : strict;
      const short = { status: 206, body: '01234', etag } as const;
      at.serve(path, () => ({ ...short, headers: [['Content-Range', 'bytes 4-9/10']] }));
      expect((await at.settled(path, range('-5'))).status).to.equal(206);
      expect(await at.place.entries(path)).to.deep.equal([]);
    });
  }

  it('an answer with another status than 200 or 206 is handed on and not kept', async () => {
    at = rfc;
    at.serve(path, () => ({ status: 416 }));
    expect((await at.settled(path, range('0-9'))).status).to.equal(416);
    expect(await at.place.entries(path)).to.deep.equal([]);
  });

  it('an answer that must not be kept is no part', async () => {
    at.serve(path, () => ({ headers: [['Cache-Control', 'no-store']] }));
    await expectPart(0, 99, 'MISS');
    expect(await at.place.entries(path)).to.deep.equal([]);
  });

  it('a part of one variant says nothing of another', async () => {
    at.serve(path, () => ({ headers: [['Vary', 'X-A']] }));
    await at.settled(path, { ...range('0-99'), 'x-a': '1' });
    expect(inShort(await at.settled(path, { ...range('0-9'), 'x-a': '1' }))[2]).to.equal('HIT');
    expect(inShort(await at.settled(path, { ...range('0-9'), 'x-a': '2' }))[2]).to.equal('MISS');
  });

  it('a whole that is arriving gives the ranges that have come, not those that have not', async () => {
    const half = gate();
    at.serve(path, (number) => (number === 1 ? { pause: { at: 500, until: half.opened } } : {}));
    const whole = (await at.place.ask(path)).content?.open();
    let read = 0;
    for await (const piece of whole ?? []) {
      read += (piece as Buffer).length;
      if (read < 500) continue;
      if (read < SIZE) {
        const come = await at.get(path, range('100-499'));
        expect(inShort(come).slice(0, 2)).to.deep.equal([206, 'bytes 100-499/1000']);
        expect(come.body.equals(at.bytes(path).subarray(100, 500))).to.equal(true);
        expect(requests()).to.equal(1);
        const toCome = await at.get(path, range('400-599'));
        expect(toCome.body.equals(at.bytes(path).subarray(400, 600))).to.equal(true);
        expect(requests()).to.equal(2);
      }
      half.open();
    }
    expect(read).to.equal(SIZE);
    await at.place.settled();
  });
});
