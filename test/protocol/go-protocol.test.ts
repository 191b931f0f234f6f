import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { failureOf } from '../contract/backend-fixture.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { lastSeen, openPull, type PullOptions, type PullPlace } from './pull-place.ts';

const BASE = '/example.com/!mixed/mod/v2/@v';
const ZIP = `${BASE}/v2.1.0.zip`;
const MOD = `${BASE}/v2.1.0.mod`;
const INFO = `${BASE}/v2.1.0.info`;
const LIST = `${BASE}/list`;
const LATEST = '/example.com/!mixed/mod/v2/@latest';
const YEAR = 'public, max-age=31536000, immutable';

describe('GoProtocol', () => {
  let place: PullPlace;

  async function open(options: PullOptions = {}): Promise<void> {
    place = await openPull({ protocol: 'go', ...options });
  }

  async function asked(target: string): Promise<readonly [number, string, string]> {
    const { status, report, body } = await place.getSettled(target);
    return [status, report.phase, String(body)];
  }

  beforeEach(async () => {
    await open();
  });
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  describe('artifacts', () => {
    for (const target of [INFO, MOD, ZIP]) {
      it(`G1: ${target.slice(target.lastIndexOf('.'))} is kept for good under its own path`, async () => {
        const first = await place.getSettled(target);
        expect([first.report.phase, first.headers.get('cache-control')]).to.deep.equal([
          'miss',
          YEAR,
        ]);
        place.clock.advance(300 * 24 * 3600 * 1000);
        const hit = await place.get(target);
        expect([hit.report.phase, hit.headers.get('cache-control')]).to.deep.equal(['hit', YEAR]);
        expect(hit.body.equals(first.body)).to.equal(true);
        const [entry] = await place.entries(target);
        expect([entry?.namespace, entry?.key]).to.deep.equal(['go', target.slice(1)]);
        expect(place.origin.seen.map(({ key }) => key)).to.deep.equal([target]);
      });
    }

    it('has a tag of its own where the upstream sent none', async () => {
      place.behave = () => ({ etag: false });
      const { body } = await place.getSettled(ZIP);
      expect((await place.get(ZIP)).headers.get('etag')).to.equal(`"${digestOf(body)}"`);
    });

    it('is not asked about again, whatever the client says of caches', async () => {
      await place.getSettled(ZIP);
      for (const value of ['no-cache', 'max-age=0', 'no-store']) {
        const answer = await place.get(ZIP, { headers: [['Cache-Control', value]] });
        expect(answer.report.phase).to.equal('hit');
      }
      expect(place.origin.counts().requests).to.equal(1);
    });

    it('is kept whatever the upstream says of caches, and without its cookies', async () => {
      place.behave = () => ({
        headers: [
          ['Cache-Control', 'no-store, private'],
          ['Set-Cookie', 'a=1'],
        ],
      });
      const { headers } = await place.getSettled(ZIP);
      expect(headers.has('set-cookie')).to.equal(false);
      expect((await place.get(ZIP)).report.phase).to.equal('hit');
    });

    it('has nothing of the client sent upstream with it', async () => {
      await place.get(ZIP, {
        headers: [
          ['Authorization', 'Basic eA=='],
          ['X-Mine', '1'],
        ],
      });
      expect(lastSeen(place.origin, 'authorization')).to.deep.equal([]);
      expect(lastSeen(place.origin, 'x-mine')).to.deep.equal([]);
      expect(lastSeen(place.origin, 'accept-encoding')).to.deep.equal(['identity']);
      expect(lastSeen(place.origin, 'via')).to.deep.equal(['1.1 caje-test']);
    });

    it('G10: stays what it was when the upstream changed it: a purge alone lets the other in', async () => {
      const first = await place.getSettled(ZIP);
      place.origin.bumpVersion(ZIP);
      await place.loseBody(ZIP);
      const response = await place.ask(ZIP);
      const chunks: Buffer[] = [];
      const body = response.content?.open();
      body?.on('data', (chunk: Buffer) => chunks.push(chunk));
      const failure = await failureOf(new Promise((_, reject) => void body?.once('error', reject)));
      expect(kindOf(failure)).to.equal('integrity');
      expect(Buffer.concat(chunks).length, 'never the whole').to.be.lessThan(first.body.length);
      await place.settled();
      expect(place.metrics.value('pinned_mismatch_total')).to.equal(1);
      expect((await place.entries(ZIP))[0]?.digest).to.equal(digestOf(first.body));
      expect([await place.blobs(), (await place.journal()).length]).to.deep.equal([0, 1]);
      const { namespace } = place;
      const purge = { kind: 'key', value: ZIP.slice(1), namespace, soft: false } as const;
      await place.purger.purge({ ...purge, actor: 'test' });
      const other = await place.getSettled(ZIP);
      expect(other.body.equals(first.body)).to.equal(false);
      expect((await place.get(ZIP)).report.phase).to.equal('hit');
    });

    it('G10: stays what it was when the upstream first loses and then changes it', async () => {
      const first = await place.getSettled(ZIP);
      await place.loseBody(ZIP);
      place.behave = () => ({ status: 404, body: 'gone\n' });
      expect(await asked(ZIP)).to.deep.equal([404, 'miss', 'gone\n']);
      place.behave = () => undefined;
      place.origin.bumpVersion(ZIP);
      place.clock.advance(61_000);
      const response = await place.ask(ZIP);
      expect(kindOf(await failureOf(readAll(response)))).to.equal('integrity');
      expect((await place.entries(ZIP))[0]?.digest).to.equal(digestOf(first.body));
    });
  });

  describe('lists and queries', () => {
    for (const target of [LIST, LATEST, `${BASE}/main.info`]) {
      it(`G3: ${target.slice(target.lastIndexOf('/'))} is fresh for a minute and then asked about`, async () => {
        place.behave = () => ({ body: 'v2.0.0\nv2.1.0\n' });
        expect(await asked(target)).to.deep.equal([200, 'miss', 'v2.0.0\nv2.1.0\n']);
        place.clock.advance(29_000);
        const hit = await place.get(target);
        const { headers } = hit;
        expect([hit.report.phase, headers.get('cache-control'), headers.get('age')]).to.deep.equal([
          'hit',
          'public, max-age=60',
          '29',
        ]);
        expect(place.origin.counts().requests).to.equal(1);
        const before = await place.journal();
        place.clock.advance(31_000);
        expect(await asked(target)).to.deep.equal([200, 'revalidated', 'v2.0.0\nv2.1.0\n']);
        expect(lastSeen(place.origin, 'if-none-match')).to.have.length(1);
        expect(await place.journal(), 'an unchanged one is no change').to.deep.equal(before);
        expect((await place.get(target)).report.phase).to.equal('hit');
      });
    }

    it('B8: what is asked often is refreshed behind in the second half of its minute, by one request', async () => {
      place.behave = (_, number) => ({ body: `v2.0.${number}\n`, etag: `"${number}"` });
      await place.getSettled(LIST);
      for (let round = 1; round <= 5; round++) {
        place.clock.advance(31_000);
        const storm = await Promise.all(
          Array.from({ length: 20 }, async () => await place.get(LIST)),
        );
        for (const { report, body } of storm)
          expect([report.phase, String(body)]).to.deep.equal(['hit', `v2.0.${round}\n`]);
        await place.settled();
        expect(place.origin.counts().requests).to.equal(round + 1);
      }
    });

    it('B8: a storm on a list that nobody has asked for lately costs one request', async () => {
      await place.getSettled(LIST);
      place.clock.advance(600_000);
      const storm = await Promise.all(
        Array.from({ length: 50 }, async () => await place.get(LIST)),
      );
      expect(storm.filter(({ status }) => status !== 200)).to.deep.equal([]);
      expect(place.origin.counts().requests).to.equal(2);
    });

    it('is no new row when an upstream without tags sends the same again', async () => {
      place.behave = () => ({ body: 'v2.0.0\n', etag: false });
      await place.getSettled(LIST);
      const before = await place.journal();
      place.clock.advance(61_000);
      expect(await asked(LIST)).to.deep.equal([200, 'miss', 'v2.0.0\n']);
      expect(await place.journal()).to.deep.equal(before);
      expect((await place.get(LIST)).report.phase).to.equal('hit');
    });

    it('shows a version just tagged within a minute', async () => {
      place.behave = (_, number) => ({
        body: number === 1 ? 'v2.0.0\n' : 'v2.0.0\nv2.1.0\n',
        etag: `"${number}"`,
      });
      await place.getSettled(LIST);
      place.clock.advance(60_000);
      expect(await asked(LIST)).to.deep.equal([200, 'miss', 'v2.0.0\nv2.1.0\n']);
      expect(await asked(LIST)).to.deep.equal([200, 'hit', 'v2.0.0\nv2.1.0\n']);
    });

    it('passes a query on as it is, branch names with escapes too', async () => {
      for (const query of ['main', 'v2', 'v2.1', '0123456789ab', '!branch']) {
        expect((await place.getSettled(`${BASE}/${query}.info`)).status).to.equal(200);
        expect(place.origin.seen.at(-1)?.key).to.equal(`${BASE}/${query}.info`);
      }
    });
  });

  describe('versions that are not there yet', () => {
    it('are served once they are published, although they were asked for before', async () => {
      place.behave = () => ({ status: 404, body: 'not found: unknown revision\n' });
      expect(await asked(ZIP)).to.deep.equal([404, 'miss', 'not found: unknown revision\n']);
      expect(await asked(ZIP)).to.deep.equal([404, 'hit', 'not found: unknown revision\n']);
      place.behave = () => undefined;
      place.clock.advance(10_000);
      expect((await place.getSettled(ZIP)).status).to.equal(200);
      expect((await place.getSettled(ZIP)).report.phase).to.equal('hit');
    });

    it('are not absent for good when the upstream confirms that they are', async () => {
      // Answers 404 with a tag, and 304 to that tag.
      place.behave = ({ rawHeaders }) => ({
        status: rawHeaders.includes('If-None-Match') ? 304 : 404,
        etag: '"absent"',
        body: 'not found\n',
      });
      await place.getSettled(ZIP);
      place.clock.advance(10_000);
      expect((await place.getSettled(ZIP)).status).to.equal(404);
      place.behave = () => undefined;
      place.clock.advance(10_000);
      expect((await place.getSettled(ZIP)).status).to.equal(200);
    });
  });

  it('answers GET and HEAD alone, and says in plain text what it does not know', async () => {
    const refused = await place.get(ZIP, { method: 'POST' });
    expect([refused.status, refused.headers.get('allow'), String(refused.body)]).to.deep.equal([
      405,
      'GET, HEAD',
      'go answers GET and HEAD only\n',
    ]);
    for (const [target, text] of [
      ['/', 'no such endpoint'],
      ['/example.com/Mixed/@v/list', 'malformed escape in module path'],
      ['/nodot/mod/@v/list', 'missing dot in first element of module path'],
      [`${BASE}/main.zip`, 'not a canonical version; its .info names the one to ask for'],
      [`${BASE}/latest.info`, '"latest" is no version'],
      [`${BASE}/..%2f..%2fetc.info`, 'malformed escape in path'],
    ] as const) {
      const answer = await place.get(target);
      expect([answer.status, String(answer.body)]).to.deep.equal([404, `not found: ${text}\n`]);
      expect(answer.headers.get('cache-control')).to.equal('no-store');
      expect(answer.headers.get('content-type')).to.equal('text/plain; charset=utf-8');
    }
    expect(place.origin.counts().requests).to.equal(0);
  });

  it('hands on a zip that is none, byte for byte', async () => {
    const bytes = seededBytes(5000);
    place.behave = () => ({ body: bytes });
    expect((await place.get(ZIP)).body.equals(bytes)).to.equal(true);
  });
});

async function readAll(response: Awaited<ReturnType<PullPlace['ask']>>): Promise<void> {
  for await (const _ of response.content?.open() ?? []);
}
