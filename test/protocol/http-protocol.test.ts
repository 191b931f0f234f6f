import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { HeaderLine } from '../../src/headers.ts';
import { startOrigin } from '../fetchers/origins.ts';
import { fetcherOf, gate, openPull, type PullOptions, type PullPlace } from './pull-place.ts';

describe('HttpProtocol', () => {
  let place: PullPlace;

  async function open(options: PullOptions = {}): Promise<void> {
    place = await openPull(options);
  }

  /** From now on the origin's answers have exactly these fields that say how they may be kept. */
  function answersWith(...headers: readonly HeaderLine[]): void {
    const named = headers.some(([name]) => name === 'Cache-Control');
    // Without one of its own the origin would send a max-age.
    const silent: HeaderLine[] = named ? [] : [['Cache-Control', '']];
    place.behave = () => ({ etag: false, headers: [...silent, ...headers] });
  }

  async function phases(target: string, times = 2): Promise<string[]> {
    const seen: string[] = [];
    for (let i = 0; i < times; i++) seen.push((await place.getSettled(target)).report.phase);
    return seen;
  }

  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  describe('what is kept', () => {
    beforeEach(async () => {
      await open();
    });

    for (const [what, headers] of [
      ['no Cache-Control', []],
      [
        'no Cache-Control but a Last-Modified',
        [['Last-Modified', 'Sat, 01 Nov 2025 10:00:00 GMT']],
      ],
      ['no-store', [['Cache-Control', 'no-store, max-age=60']]],
      ['private', [['Cache-Control', 'private, max-age=60']]],
      ['no-cache and no validator', [['Cache-Control', 'no-cache']]],
      [
        'Vary: *',
        [
          ['Cache-Control', 'max-age=60'],
          ['Vary', '*'],
        ],
      ],
      [
        'a Set-Cookie',
        [
          ['Cache-Control', 'max-age=60'],
          ['Set-Cookie', 'a=1'],
        ],
      ],
    ] as const satisfies readonly (readonly [string, readonly HeaderLine[]])[]) {
      it(`P2, P3: keeps nothing of an answer with ${what}`, async () => {
        answersWith(...headers);
        expect(await phases('/x')).to.deep.equal(['miss', 'miss']);
        expect(place.origin.counts('/x').requests).to.equal(2);
        expect([await place.journal(), await place.blobs()]).to.deep.equal([[], 0]);
      });
    }

    it('P3: takes s-maxage before max-age', async () => {
      answersWith(['Cache-Control', 's-maxage=1, max-age=60']);
      expect(await phases('/x')).to.deep.equal(['miss', 'hit']);
      place.clock.advance(1500);
      expect(await phases('/x', 1)).to.deep.equal(['miss']);
    });

    it('keeps what Expires allows', async () => {
      place.behave = () => ({
        etag: false,
        headers: [
          ['Cache-Control', ''],
          ['Expires', new Date(place.clock.now() + 60_000).toUTCString()],
        ],
      });
      expect(await phases('/x')).to.deep.equal(['miss', 'hit']);
    });

    it('holds in memory alone what lives short and cannot be asked about', async () => {
      answersWith(['Cache-Control', 'max-age=5']);
      expect(await phases('/x')).to.deep.equal(['miss', 'hit']);
      expect([await place.journal(), await place.blobs()]).to.deep.equal([[], 0]);
      place.clock.advance(5000);
      expect(await phases('/x', 1)).to.deep.equal(['miss']);
    });

    it('holds in memory alone that something is not there', async () => {
      place.behave = () => ({ status: 404, body: 'not here' });
      expect(await phases('/x')).to.deep.equal(['miss', 'hit']);
      expect([await place.journal(), await place.blobs()]).to.deep.equal([[], 0]);
    });

    it('writes a row for what lives short and can be asked about', async () => {
      place.behave = () => ({ headers: [['Cache-Control', 'max-age=5']] });
      await place.getSettled('/x');
      expect(await place.journal()).to.have.length(1);
    });

    it('keeps nothing whose end cannot be told from a cut', async () => {
      await using origin = await closeDelimited('all of it');
      await using fetcher = fetcherOf(origin.url);
      await place[Symbol.asyncDispose]();
      await open({ fetcher });
      for (let i = 0; i < 2; i++)
        expect(String((await place.getSettled('/x')).body)).to.equal('all of it');
      expect([origin.asked(), await place.blobs()]).to.deep.equal([2, 0]);
    });

    it('P18: hands a redirect on and asks nothing else for it', async () => {
      place.behave = () => ({ status: 302, headers: [['Location', '/elsewhere']], size: 0 });
      const answer = await place.get('/x');
      expect([answer.status, answer.headers.get('location')]).to.deep.equal([302, '/elsewhere']);
      expect(place.origin.seen.map(({ key }) => key)).to.deep.equal(['/x']);
    });

    it('P19: hands coded bytes on as they came, to those who take them', async () => {
      const packed = gzipSync('packed '.repeat(1000));
      place.behave = ({ rawHeaders }) =>
        rawHeaders.includes('gzip')
          ? {
              body: packed,
              headers: [
                ['Content-Encoding', 'gzip'],
                ['Vary', 'Accept-Encoding'],
              ],
            }
          : { body: 'packed '.repeat(1000), headers: [['Vary', 'Accept-Encoding']] };
      const gzip = { headers: [['Accept-Encoding', 'gzip']] as HeaderLine[] };
      for (const phase of ['miss', 'hit']) {
        const coded = await place.getSettled('/x', gzip);
        expect([coded.report.phase, coded.headers.get('content-encoding')]).to.deep.equal([
          phase,
          'gzip',
        ]);
        expect(coded.body.equals(packed)).to.equal(true);
        const plain = await place.getSettled('/x');
        expect([plain.report.phase, plain.headers.get('content-encoding')]).to.deep.equal([
          phase,
          undefined,
        ]);
        expect(plain.body.length).to.equal(7000);
      }
    });

    it('P8: has an Age that grows, the Date of the origin, and no field of a connection', async () => {
      place.behave = () => ({
        headers: [
          ['Connection', 'X-Hop'],
          ['X-Hop', '1'],
          ['Keep-Alive', 'timeout=9'],
        ],
      });
      const date = place.clock.date();
      await place.getSettled('/x');
      for (const age of ['0', '7']) {
        const { headers } = await place.get('/x');
        expect([headers.get('age'), headers.get('date')]).to.deep.equal([age, date]);
        for (const name of ['connection', 'keep-alive', 'x-hop', 'te'])
          expect(headers.has(name), name).to.equal(false);
        place.clock.advance(7000);
      }
    });

    it('counts the age that an answer came with', async () => {
      answersWith(['Cache-Control', 'max-age=60'], ['Age', '50']);
      expect(await phases('/x')).to.deep.equal(['miss', 'hit']);
      expect((await place.get('/x')).headers.get('age')).to.equal('50');
      place.clock.advance(10_000);
      expect((await place.get('/x')).report.phase).to.equal('miss');
    });
  });

  describe('P7: variants', () => {
    const inLanguage = (language: string) => ({
      headers: [['Accept-Language', language]] as HeaderLine[],
    });
    beforeEach(async () => {
      await open();
      place.behave = ({ rawHeaders }) => ({
        body: rawHeaders[rawHeaders.indexOf('Accept-Language') + 1] ?? '',
        headers: [['Vary', 'Accept-Language']],
        etag: false,
      });
    });

    it('keeps one body for each', async () => {
      const seen: unknown[] = [];
      for (const language of ['en', 'de', 'en', 'de']) {
        const { report, body } = await place.getSettled('/x', inLanguage(language));
        seen.push([report.phase, report.forward, String(body)]);
      }
      expect(seen).to.deep.equal([
        ['miss', 'uri-miss', 'en'],
        ['miss', 'vary-miss', 'de'],
        ['hit', undefined, 'en'],
        ['hit', undefined, 'de'],
      ]);
      expect(place.origin.counts('/x').requests).to.equal(2);
    });

    it('shares one fetch for each among requests at once', async () => {
      const languages = Array.from({ length: 20 }, (_, i) => (i % 2 ? 'en' : 'de'));
      const head = gate();
      const { behave } = place;
      place.behave = (...seen) => ({ ...behave(...seen), delay: head.opened });
      const asked = languages.map(async (one) => await place.get('/x', inLanguage(one)));
      await place.origin.asked(1);
      head.open();
      const bodies = (await Promise.all(asked)).map(({ body }) => String(body));
      expect(bodies).to.deep.equal(languages);
      expect(place.origin.counts('/x').requests).to.equal(2);
    });
  });
});

interface CloseDelimited extends AsyncDisposable {
  readonly url: string;
  asked(): number;
}

async function closeDelimited(body: string): Promise<CloseDelimited> {
  let asked = 0;
  const origin = await startOrigin((request, response) => {
    asked += 1;
    request.socket.end(`HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\n${body}`);
    response.detachSocket(request.socket);
  });
  return {
    url: origin.url,
    asked: () => asked,
    [Symbol.asyncDispose]: async () => await origin.close(),
  };
}
