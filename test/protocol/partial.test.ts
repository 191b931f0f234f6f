import { expect } from 'chai';
import { MAX_PARTS } from '../../src/protocol/partial-content.ts';
import { etagOf } from '../support/oracle-send.ts';
import { inShort, openRanged, type RangedPlace, SIZE } from './ranged-place.ts';

describe('parts of what is not kept whole', () => {
  let at: RangedPlace;
  let path = '';
  let tests = 0;
  const range = (field: string): Record<string, string> => ({ range: `bytes=${field}` });
  const requests = (): number => at.place.origin.counts(path).requests;

  async function expectPart(
    field: string,
    cache: string,
    start: number,
    end: number,
  ): Promise<void> {
    const answer = await at.settled(path, range(field));
    expect(inShort(answer), field).to.deep.equal([206, `bytes ${start}-${end}/${SIZE}`, cache]);
    expect(answer.headers.get('content-length')).to.equal(String(end - start + 1));
    expect(answer.body.equals(at.bytes(path).subarray(start, end + 1)), field).to.equal(true);
  }

  async function expectWhole(cache: string): Promise<void> {
    const answer = await at.settled(path);
    expect(inShort(answer)).to.deep.equal([200, undefined, cache]);
    expect(answer.body.equals(at.bytes(path))).to.equal(true);
  }

  before(async () => {
    at = await openRanged();
  });

  after(async () => {
    await at[Symbol.asyncDispose]();
  });

  beforeEach(() => {
    path = `/${++tests}`;
  });

  describe('P16: a range that is not kept', () => {
    it('is asked for as it is, kept, and answers every range within it', async () => {
      await expectPart('100-299', 'MISS', 100, 299);
      expect(at.seen(path)).to.deep.equal([['bytes=100-299', '']]);
      for (const [field, start, end] of [
        ['100-299', 100, 299],
        ['100-100', 100, 100],
        ['150-249', 150, 249],
      ] as const)
        await expectPart(field, 'HIT', start, end);
      expect(requests()).to.equal(1);
      expect(
        (await at.parts(path)).map(({ variant, size }) => [variant.slice(0, 1), size]),
      ).to.deep.equal([['@', 200]]);
    });

    it('is asked for where the part holds only some of it', async () => {
      await expectPart('100-199', 'MISS', 100, 199);
      await expectPart('150-249', 'MISS', 150, 249);
      expect(at.seen(path).at(-1)).to.deep.equal(['bytes=150-249', '']);
      // Both together hold this one.
      await expectPart('110-240', 'HIT', 110, 240);
      expect(requests()).to.equal(2);
    });

    it('may be a suffix or open, once the size is known', async () => {
      await expectPart('-100', 'MISS', 900, 999);
      await expectPart('950-', 'HIT', 950, 999);
      await expectPart('-50', 'HIT', 950, 999);
      await expectPart('980-5000', 'HIT', 980, 999);
      const none = await at.get(path, range('1000-'));
      expect([none.status, none.headers.get('content-range')]).to.deep.equal([416, 'bytes */1000']);
      expect(requests()).to.equal(1);
    });

    it('is one request for all who want the same one at the same time', async () => {
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => await at.get(path, range('5-24'))),
      );
      for (const answer of answers) {
        expect(inShort(answer).slice(0, 2)).to.deep.equal([206, 'bytes 5-24/1000']);
        expect(answer.body.equals(at.bytes(path).subarray(5, 25))).to.equal(true);
      }
      expect(requests()).to.equal(1);
    });

    it('is answered with 304 to a client that has the part already', async () => {
      await expectPart('0-99', 'MISS', 0, 99);
      const tag = etagOf({ seed: 0, key: path, version: 1 });
      const same = await at.get(path, { ...range('0-9'), 'if-none-match': tag });
      expect(same.status).to.equal(304);
      const other = await at.get(path, { ...range('0-9'), 'if-none-match': '"other"' });
      expect(inShort(other)).to.deep.equal([206, 'bytes 0-9/1000', 'HIT']);
      expect(requests()).to.equal(1);
    });

    it('heeds If-Range: the part for its tag, the origin asked for any other', async () => {
      await expectPart('0-99', 'MISS', 0, 99);
      const tag = etagOf({ seed: 0, key: path, version: 1 });
      const part = await at.get(path, { ...range('0-9'), 'if-range': tag });
      expect(inShort(part)).to.deep.equal([206, 'bytes 0-9/1000', 'HIT']);
      const whole = await at.settled(path, { ...range('0-9'), 'if-range': '"other"' });
      expect(inShort(whole)).to.deep.equal([200, undefined, 'MISS']);
      expect(at.seen(path).at(-1)).to.deep.equal(['bytes=0-9', '"other"']);
      // And that whole is kept in place of the part.
      await expectWhole('HIT');
      expect(await at.parts(path)).to.deep.equal([]);
    });

    it('is passed on with several ranges, which nothing is kept of', async () => {
      const answer = await at.settled(path, range('0-1,5-6'));
      expect(answer.status).to.equal(200);
      expect(at.seen(path)).to.deep.equal([['bytes=0-1,5-6', '']]);
    });

    it('takes the place of the oldest part once there are many', async () => {
      for (let i = 0; i <= MAX_PARTS; i++) {
        at.place.clock.advance(1);
        await at.settled(path, range(`${i * 10}-${i * 10 + 4}`));
      }
      expect(await at.parts(path)).to.have.length(MAX_PARTS);
      await expectPart('10-14', 'HIT', 10, 14);
      await expectPart('0-4', 'MISS', 0, 4);
    });

    it('goes with a purge of its key, and comes back from the origin (H-40)', async () => {
      await expectPart('0-99', 'MISS', 0, 99);
      await expectPart('500-599', 'MISS', 500, 599);
      const purge = {
        kind: 'key',
        value: at.place.keyOf(path),
        soft: false,
        actor: 'test',
      } as const;
      expect((await at.place.purger.purge(purge)).entries).to.equal(2);
      expect(await at.place.entries(path)).to.deep.equal([]);
      await expectPart('0-99', 'MISS', 0, 99);
    });

    it('is asked for again once it is stale, and where its body is gone', async () => {
      await expectPart('0-99', 'MISS', 0, 99);
      at.place.clock.advance(3_700_000);
      await expectPart('0-99', 'MISS', 0, 99);
      await expectPart('0-99', 'HIT', 0, 99);
      await at.place.loseBody(path);
      await expectPart('0-99', 'MISS', 0, 99);
      expect(requests()).to.equal(3);
    });

    it('is answered to a peer that looks, where it is kept', async () => {
      const asked = { headers: [['Range', 'bytes=0-9']], onlyIfCached: true } as const;
      await at.settled(path, range('0-99'));
      const kept = await at.place.ask(path, asked);
      expect([kept.report.phase, kept.content?.incomplete]).to.deep.equal(['hit', true]);
      kept.content?.close();
    });
  });

  describe('a GET of the whole', () => {
    it('asks for what is missing behind a part and joins it', async () => {
      await expectPart('0-299', 'MISS', 0, 299);
      await expectWhole('MISS');
      expect(at.seen(path).at(-1)).to.deep.equal([
        'bytes=300-',
        etagOf({ seed: 0, key: path, version: 1 }),
      ]);
      await expectWhole('HIT');
      expect(await at.parts(path)).to.deep.equal([]);
      expect(requests()).to.equal(2);
    });

    it('asks for what is missing before, between and behind parts', async () => {
      await expectPart('100-299', 'MISS', 100, 299);
      await expectPart('500-599', 'MISS', 500, 599);
      await expectWhole('MISS');
      expect(
        at
          .seen(path)
          .slice(2)
          .map(([asked]) => asked),
      ).to.deep.equal(['bytes=0-99', 'bytes=300-499', 'bytes=600-']);
      await expectWhole('HIT');
    });

    it('asks for nothing where the parts are the whole', async () => {
      await expectPart('0-599', 'MISS', 0, 599);
      await expectPart('500-999', 'MISS', 500, 999);
      await expectWhole('HIT');
      const answer = await at.get(path, range('0-9,990-'));
      expect(answer.status).to.equal(206);
      expect(requests()).to.equal(2);
    });

    it('has stale parts confirmed by their last byte', async () => {
      await expectPart('0-999', 'MISS', 0, 999);
      at.place.clock.advance(3_700_000);
      await expectWhole('MISS');
      expect(at.seen(path).at(-1)?.[0]).to.equal('bytes=999-');
    });

    it('has the fields of the new answer, and of the part those that it does not name', async () => {
      at.serve(path, (number) => ({
        headers:
          number === 1
            ? [
                ['X-A', '1'],
                ['X-B', '1'],
              ]
            : [['X-A', '2']],
      }));
      await expectPart('0-299', 'MISS', 0, 299);
      for (const cache of ['MISS', 'HIT']) {
        const { headers } = await at.settled(path);
        expect([headers.get('x-a'), headers.get('x-b'), headers.get('x-cache')]).to.deep.equal([
          '2',
          '1',
          cache,
        ]);
        expect(headers.has('content-range')).to.equal(false);
      }
    });

    it('takes what the origin has now where the part is of another version', async () => {
      await expectPart('0-299', 'MISS', 0, 299);
      at.place.origin.bumpVersion(path);
      await expectWhole('MISS');
      expect(requests()).to.equal(2);
      expect(await at.parts(path)).to.deep.equal([]);
      await expectPart('0-9', 'HIT', 0, 9);
    });

    it('fetches the whole where the body of a part is gone', async () => {
      await expectPart('0-299', 'MISS', 0, 299);
      await at.place.loseBody(path);
      await expectWhole('MISS');
      expect(at.seen(path).at(-1)).to.deep.equal(['', '']);
    });
  });

  it('a whole that the origin sends instead is kept, and the range cut out of it', async () => {
    at.serve(path, () => ({ ranges: false }));
    await expectPart('10-19', 'MISS', 10, 19);
    await expectWhole('HIT');
    expect(requests()).to.equal(1);
  });
});
