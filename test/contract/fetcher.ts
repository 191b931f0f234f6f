import type { RequestListener } from 'node:http';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { Fetcher } from '../../src/fetchers/fetcher.ts';
import { ask, failure, read, readText, until } from '../fetchers/requests.ts';

/** A fetcher and the place that it gets from. */
export interface FetcherPlace {
  readonly fetcher: Fetcher;
  /** Connections or descriptors that it holds for running fetches and idle ones. */
  held(): number | Promise<number>;
  /** Most connections at once. Absent: it has none. */
  readonly peak?: (() => number) | undefined;
  close(): Promise<void>;
}

/** Puts resources at a place, by path. */
export interface FilesFixture {
  create(files: Readonly<Record<string, Buffer>>): Promise<FetcherPlace>;
}

/** Puts an HTTP handler at a place. */
export interface HandlerFixture {
  create(answer: RequestListener): Promise<FetcherPlace>;
}

const LARGE = Buffer.alloc(3 * 1024 * 1024 + 7, 'all the bytes of a longer body, ');

/** What every fetcher promises, wherever it gets from. */
export function fetcherContract(name: string, fixture: FilesFixture): void {
  describe(`Fetcher contract: ${name}`, () => {
    let place: FetcherPlace;
    let fetcher: Fetcher;
    beforeEach(async () => {
      place = await fixture.create({
        '/a.txt': Buffer.from('hello'),
        '/empty.bin': Buffer.alloc(0),
        '/sub/large.bin': LARGE,
      });
      fetcher = place.fetcher;
    });
    afterEach(async () => {
      await place.close();
    });

    it('gives status, length, source and every byte', async () => {
      const fetched = await fetcher.fetch(ask('/a.txt'));
      expect(fetched.source).to.equal(fetcher.name);
      expect(fetched.headers.get('content-length')).to.equal('5');
      expect(fetched.complete).not.to.equal(false);
      expect(await readText(fetched)).to.deep.equal([200, 'hello']);
    });

    it('gives an empty body that ends', async () => {
      expect(await readText(await fetcher.fetch(ask('/empty.bin')))).to.deep.equal([200, '']);
    });

    it('gives a body larger than any buffer byte for byte', async () => {
      const { body } = await fetcher.fetch(ask('/sub/large.bin'));
      expect((await read(body)).equals(LARGE)).to.equal(true);
    });

    it('answers HEAD with the length and no body', async () => {
      const fetched = await fetcher.fetch(ask('/a.txt', [], { method: 'HEAD' }));
      expect(fetched.headers.get('content-length')).to.equal('5');
      expect(await readText(fetched)).to.deep.equal([200, '']);
    });

    it('answers 404 for what is not there, and that is no failure', async () => {
      const fetched = await fetcher.fetch(ask('/nothing'));
      expect(fetched.status).to.equal(404);
      expect((await read(fetched.body)).length).to.be.greaterThan(0);
    });

    it('does not begin when the signal is aborted already', async () => {
      const signal = AbortSignal.abort();
      await failure(fetcher.fetch(ask('/a.txt'), { signal }), 'aborted');
    });

    it('errors the body when the signal is aborted while it arrives', async () => {
      const giveUp = new AbortController();
      const { body } = await fetcher.fetch(ask('/sub/large.bin'), { signal: giveUp.signal });
      giveUp.abort();
      await failure(read(body), 'aborted');
      await until(async () => (await place.held()) === 0);
    });

    it('holds nothing for a body that was destroyed', async () => {
      const { body } = await fetcher.fetch(ask('/sub/large.bin'));
      expect(await place.held()).to.be.greaterThan(0);
      body.destroy();
      await until(async () => (await place.held()) === 0);
    });

    it('serves many at once', async () => {
      const all = await Promise.all(
        Array.from({ length: 50 }, async () => await readText(await fetcher.fetch(ask('/a.txt')))),
      );
      expect(all.every(([status, text]) => status === 200 && text === 'hello')).to.equal(true);
    });
  });
}

/** What fetchers that end at an HTTP origin promise besides. */
export function httpFetcherContract(name: string, fixture: HandlerFixture): void {
  describe(`Fetcher contract over HTTP: ${name}`, () => {
    let place: FetcherPlace | undefined;
    const at = async (answer: RequestListener): Promise<Fetcher> => {
      place = await fixture.create(answer);
      return place.fetcher;
    };
    afterEach(async () => {
      await place?.close();
      place = undefined;
    });

    for (const status of [201, 403, 404, 410, 418, 429, 500, 503]) {
      it(`gives ${status} as an answer, its body word for word`, async () => {
        const fetcher = await at((_, response) => {
          response.writeHead(status, { 'Content-Type': 'text/plain' }).end(`says ${status}`);
        });
        expect(await readText(await fetcher.fetch(ask('/x')))).to.deep.equal([
          status,
          `says ${status}`,
        ]);
      });
    }

    it('P18: hands a redirect on and does not follow it', async () => {
      const paths: string[] = [];
      const fetcher = await at((request, response) => {
        paths.push(request.url ?? '');
        response.writeHead(302, { Location: '/elsewhere' }).end();
      });
      const fetched = await fetcher.fetch(ask('/from'));
      expect([fetched.status, fetched.headers.get('location')]).to.deep.equal([302, '/elsewhere']);
      await read(fetched.body);
      expect(paths).to.deep.equal(['/from']);
    });

    it('leaves coded bytes and their Content-Encoding alone', async () => {
      const packed = gzipSync('packed '.repeat(1000));
      const fetcher = await at((_, response) => {
        response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': packed.length });
        response.end(packed);
      });
      const fetched = await fetcher.fetch(ask('/x'));
      expect(fetched.headers.get('content-encoding')).to.equal('gzip');
      expect((await read(fetched.body)).equals(packed)).to.equal(true);
    });

    it('keeps order, case and repeats of fields', async () => {
      const lines = ['X-One', '1', 'sEt-CoOkIe', 'a=1', 'x-two', '2', 'Set-Cookie', 'b=2'];
      const fetcher = await at((_, response) => {
        response.writeHead(200, [...lines, 'Content-Length', '0']).end();
      });
      const fetched = await fetcher.fetch(ask('/x'));
      await read(fetched.body);
      const ours = fetched.headers.only(['x-one', 'set-cookie', 'x-two']).toRaw();
      expect(ours).to.deep.equal(lines);
    });

    it('sends the fields it is given', async () => {
      let seen: readonly string[] = [];
      const fetcher = await at((request, response) => {
        seen = request.headersDistinct['x-mine'] ?? [];
        response.end(request.headers['if-none-match']);
      });
      const fetched = await fetcher.fetch(
        ask('/x', [
          ['X-Mine', 'one'],
          ['If-None-Match', '"tag"'],
          ['X-Mine', 'two'],
        ]),
      );
      expect(await readText(fetched)).to.deep.equal([200, '"tag"']);
      expect(seen.join(', ')).to.equal('one, two');
    });

    it('gives 304 to a condition and 206 to a range', async () => {
      const fetcher = await at((request, response) => {
        if (request.headers.range === undefined) response.writeHead(304).end();
        else response.writeHead(206, { 'Content-Range': 'bytes 1-2/9' }).end('bc');
      });
      const held = await fetcher.fetch(ask('/x', [['If-None-Match', '"a"']]));
      expect(await readText(held)).to.deep.equal([304, '']);
      const part = await fetcher.fetch(ask('/x', [['Range', 'bytes=1-2']]));
      expect(await readText(part)).to.deep.equal([206, 'bc']);
    });

    it('errors the body that is shorter than announced', async () => {
      const fetcher = await at((_, response) => {
        response.writeHead(200, { 'Content-Length': 10 });
        response.write('five!', () => response.destroy());
      });
      const { body } = await fetcher.fetch(ask('/x'));
      await failure(read(body), 'upstream');
    });

    it('errors the chunked body whose end does not come', async () => {
      const fetcher = await at((_, response) => {
        response.write('some', () => response.destroy());
      });
      const { body } = await fetcher.fetch(ask('/x'));
      await failure(read(body), 'upstream');
    });

    it('gives the first bytes while the rest is not there yet', async () => {
      let finish = (): void => {};
      const fetcher = await at((_, response) => {
        response.write('first');
        finish = () => response.end(' last');
      });
      const { body } = await fetcher.fetch(ask('/x'));
      const chunks = (body as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
      expect(String((await chunks.next()).value)).to.equal('first');
      finish();
      expect(String((await chunks.next()).value)).to.equal(' last');
      expect((await chunks.next()).done).to.equal(true);
    });

    it('frees its connection when aborted before the head came', async () => {
      const giveUp = new AbortController();
      const fetcher = await at(() => giveUp.abort());
      await failure(fetcher.fetch(ask('/x'), { signal: giveUp.signal }), 'aborted');
      await until(async () => (await place?.held()) === 0);
    });

    it('F5: opens no more connections than maxSockets, and none of 100 fails', async () => {
      const fetcher = await at((_, response) => {
        setImmediate(() => response.end('ok'));
      });
      const all = await Promise.all(
        Array.from(
          { length: 100 },
          async (_, i) => await readText(await fetcher.fetch(ask(`/${i}`))),
        ),
      );
      expect(all.every(([status]) => status === 200)).to.equal(true);
      expect(place?.peak?.()).to.be.lessThanOrEqual(4);
    });
  });
}
