import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import type { HeaderLine } from '../../src/headers.ts';
import { failureOf } from '../contract/backend-fixture.ts';
import { startOrigin } from '../fetchers/origins.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { fetcherOf, lastSeen, openPull, type PullOptions, type PullPlace } from './pull-place.ts';

describe('HttpProtocol, by request', () => {
  let place: PullPlace;

  async function open(options: PullOptions = {}): Promise<void> {
    place = await openPull(options);
  }

  function withField(name: string, value: string): { headers: HeaderLine[] } {
    return { headers: [[name, value]] };
  }

  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  describe('P4: other methods', () => {
    beforeEach(async () => {
      await open();
    });

    it('passes each on and keeps nothing', async () => {
      for (let i = 0; i < 2; i++) {
        const answer = await place.getSettled('/x', { method: 'POST' });
        expect(answer.report).to.include({ phase: 'bypass', forward: 'method', stored: false });
      }
      expect(place.origin.seen.map(({ method }) => method)).to.deep.equal(['POST', 'POST']);
      expect([await place.entries('/x'), await place.blobs()]).to.deep.equal([[], 0]);
    });

    it('hands a body of 10 MB on byte for byte', async () => {
      const origin = await startOrigin((request, response) => {
        const hash = createHash('sha256');
        request.on('data', (chunk: Buffer) => hash.update(chunk));
        request.on('end', () => response.end(hash.digest('hex')));
      });
      await using folder = await tempFolder();
      await using fetcher = fetcherOf(origin.url);
      await place[Symbol.asyncDispose]();
      await open({ fetcher });
      const bytes = seededBytes(10_000_000);
      const file = join(folder.path, 'body');
      await writeFile(file, bytes);
      const answer = await place.get('/x', { method: 'POST', body: createReadStream(file) });
      expect(String(answer.body)).to.equal(createHash('sha256').update(bytes).digest('hex'));
      await origin.close();
    });

    it('drops what is stored once one succeeded, and what its answer names', async () => {
      for (const target of ['/x', '/y', '/z']) await place.getSettled(target);
      place.behave = ({ method }) =>
        method === 'POST' ? { status: 201, headers: [['Location', '/y']], size: 0 } : undefined;
      await place.get('/x', { method: 'POST' });
      expect((await place.get('/x')).report.phase).to.equal('miss');
      expect((await place.get('/y')).report.phase).to.equal('miss');
      expect((await place.get('/z')).report.phase).to.equal('hit');
    });

    it('drops nothing when it failed', async () => {
      await place.getSettled('/x');
      place.behave = ({ method }) => (method === 'POST' ? { status: 500 } : undefined);
      expect((await place.get('/x', { method: 'POST' })).status).to.equal(500);
      expect((await place.get('/x')).report.phase).to.equal('hit');
    });

    it('is not sent where only what is kept was asked for', async () => {
      const failure = failureOf(place.ask('/x', { method: 'POST', onlyIfCached: true }));
      expect(kindOf(await failure)).to.equal('timeout');
      expect(place.origin.counts().requests).to.equal(0);
    });
  });

  it('sends Via, and the host of the client only where the rule preserves it', async () => {
    await open({ settings: { preserveHost: true } });
    await place.get('/x');
    expect(lastSeen(place.origin, 'host')).to.deep.equal(['www.example.com']);
    expect(lastSeen(place.origin, 'via')).to.deep.equal(['1.1 caje-test']);
    await place[Symbol.asyncDispose]();
    await open();
    await place.get('/x');
    expect(lastSeen(place.origin, 'host')).to.deep.equal([new URL(place.origin.url).host]);
  });

  describe('P16: a range', () => {
    beforeEach(async () => {
      await open();
      place.behave = () => ({ ranges: true });
    });

    it('of what is not kept is passed on, and its 206 is kept as a part, never as a whole', async () => {
      const part = await place.getSettled('/x', withField('Range', 'bytes=10-19'));
      expect([part.status, part.body.length, part.report.phase]).to.deep.equal([206, 10, 'miss']);
      expect(lastSeen(place.origin, 'range')).to.deep.equal(['bytes=10-19']);
      const [entry] = await place.entries('/x');
      expect([entry?.status, entry?.size, await place.blobs()]).to.deep.equal([206, 10, 1]);
      expect((await place.get('/x')).body.length).to.equal(1024);
    });

    it('of what is kept is left to the edge, over a body that can be opened in part', async () => {
      await place.getSettled('/x');
      const kept = await place.ask('/x', withField('Range', 'bytes=10-19'));
      expect([kept.status, kept.selectable, kept.content?.seekable]).to.deep.equal([
        200,
        true,
        true,
      ]);
      expect(place.origin.counts().requests).to.equal(1);
      kept.content?.close();
    });

    it('of what is stale has the whole asked about', async () => {
      await place.getSettled('/x');
      place.clock.advance(3_700_000);
      const kept = await place.getSettled('/x', withField('Range', 'bytes=10-19'));
      expect(kept.report.phase).to.equal('revalidated');
      expect(lastSeen(place.origin, 'range')).to.deep.equal([]);
      expect(kept.body.length).to.equal(1024);
    });

    it('of what has lost its body fetches the whole, which heals it', async () => {
      await place.getSettled('/x');
      await place.loseBody('/x');
      const whole = await place.getSettled('/x', withField('Range', 'bytes=10-19'));
      expect([whole.status, whole.body.length]).to.deep.equal([200, 1024]);
      expect((await place.get('/x')).report.phase).to.equal('hit');
    });
  });

  describe('a condition', () => {
    beforeEach(async () => {
      await open();
    });

    it('about what is not kept goes on for its client alone; a 304 is handed on', async () => {
      place.behave = () => ({ etag: '"mine"' });
      const answer = await place.getSettled('/x', withField('If-None-Match', '"mine"'));
      expect([answer.status, answer.body.length]).to.deep.equal([304, 0]);
      expect(await place.entries('/x')).to.deep.equal([]);
    });

    it('about what is not kept keeps the whole when it is not met', async () => {
      const answer = await place.getSettled('/x', withField('If-None-Match', '"other"'));
      expect([answer.status, answer.report.stored]).to.deep.equal([200, true]);
      expect((await place.get('/x')).report.phase).to.equal('hit');
    });

    it('about what has lost its body does not keep it from being healed', async () => {
      const { headers } = await place.getSettled('/x');
      await place.loseBody('/x');
      const tag = headers.get('etag') ?? '';
      const answer = await place.getSettled('/x', withField('If-None-Match', tag));
      expect(answer.status).to.equal(200);
      expect((await place.get('/x')).report.phase).to.equal('hit');
    });

    for (const field of ['If-Match', 'If-Unmodified-Since']) {
      it(`${field} is for the origin to judge`, async () => {
        await place.getSettled('/x');
        const answer = await place.get('/x', withField(field, '"1"'));
        expect(answer.report.phase).to.equal('bypass');
        expect(lastSeen(place.origin, field)).to.deep.equal(['"1"']);
      });
    }
  });

  describe('cookies', () => {
    it('make a request pass by what is kept, and nothing of it is kept', async () => {
      await open();
      await place.getSettled('/x');
      const answer = await place.getSettled('/x', withField('Cookie', 'a=1'));
      expect(answer.report).to.include({ phase: 'bypass', forward: 'bypass' });
      expect(lastSeen(place.origin, 'cookie')).to.deep.equal(['a=1']);
      await place.getSettled('/y', withField('Cookie', 'a=1'));
      expect(await place.entries('/y')).to.deep.equal([]);
    });

    it('make no difference where the rule ignores them, and the origin does not see them', async () => {
      await open({ settings: { cookies: 'ignore' } });
      const first = await place.getSettled('/x', withField('Cookie', 'a=1'));
      expect(first.report.phase).to.equal('miss');
      expect(lastSeen(place.origin, 'cookie')).to.deep.equal([]);
      expect((await place.get('/x', withField('Cookie', 'b=2'))).report.phase).to.equal('hit');
    });
  });

  it('passes requests with Authorization by what is kept, and keeps nothing of them', async () => {
    await open();
    const secret = withField('Authorization', 'Basic c2VjcmV0');
    await place.getSettled('/x', secret);
    expect(await place.entries('/x')).to.deep.equal([]);
    await place.getSettled('/x');
    expect((await place.getSettled('/x', secret)).report.phase).to.equal('bypass');
    expect(lastSeen(place.origin, 'authorization')).to.deep.equal(['Basic c2VjcmV0']);
  });

  it('in profile rfc keeps answers to Authorization that say public', async () => {
    await open({ settings: { freshness: 'rfc' } });
    place.behave = () => ({ headers: [['Cache-Control', 'public, max-age=60']] });
    await place.getSettled('/x', withField('Authorization', 'Basic c2VjcmV0'));
    expect((await place.get('/x')).report.phase).to.equal('hit');
  });

  it('in profile rfc guesses a lifetime from Last-Modified', async () => {
    await open({ settings: { freshness: 'rfc' } });
    const day = 24 * 3600 * 1000;
    const modified = new Date(place.clock.now() - 10 * day).toUTCString();
    place.behave = () => ({
      headers: [
        ['Cache-Control', ''],
        ['Last-Modified', modified],
      ],
    });
    await place.getSettled('/x');
    place.clock.advance(day / 2);
    expect((await place.get('/x')).report.phase).to.equal('hit');
  });

  it('passes by what is kept when a field may change its method or target', async () => {
    await open();
    await place.getSettled('/x');
    const answer = await place.get('/x', withField('X-HTTP-Method-Override', 'DELETE'));
    expect(answer.report.phase).to.equal('bypass');
  });

  it('keeps nothing, and still serves all, where the rule has a stasher that keeps nothing', async () => {
    await open({ stash: 'none' });
    const answers = await Promise.all([1, 2, 3].map(async () => await place.get('/x')));
    for (const { report, body } of answers)
      expect([report.phase, report.stored, body.length]).to.deep.equal(['miss', false, 1024]);
    expect((await place.get('/x')).report.phase).to.equal('miss');
    expect(await place.journal()).to.deep.equal([]);
  });
});
