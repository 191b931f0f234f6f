import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import type { HeaderLine } from '../../src/headers.ts';
import { failureOf } from '../contract/backend-fixture.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { lastSeen, openPull, type PullOptions, type PullPlace } from './pull-place.ts';

const reload = (value: string): { headers: HeaderLine[] } => ({
  headers: [['Cache-Control', value]],
});

describe('HttpProtocol, once an answer is stored', () => {
  let place: PullPlace;

  async function open(options: PullOptions = {}): Promise<void> {
    place = await openPull(options);
  }

  /** Stores `/x` with this Cache-Control. */
  async function stored(cacheControl: string, more: Behaviour = {}): Promise<void> {
    const headers: HeaderLine[] = [['Cache-Control', cacheControl], ...(more.headers ?? [])];
    place.behave = () => ({ ...more, headers });
    const answer = await place.getSettled('/x');
    expect(answer.report.stored).to.equal(true);
  }

  async function phaseOf(...request: Parameters<PullPlace['get']>): Promise<string> {
    return (await place.getSettled(...request)).report.phase;
  }

  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  describe('P5: a stale one', () => {
    beforeEach(async () => {
      await open();
    });

    it('is asked about by its own tag, and its age begins anew', async () => {
      await stored('max-age=60');
      place.clock.advance(61_000);
      const answer = await place.getSettled('/x', { headers: [['If-None-Match', '"other"']] });
      expect([answer.status, answer.body.length]).to.deep.equal([200, 1024]);
      expect(answer.report).to.include({
        phase: 'revalidated',
        forward: 'stale',
        forwardStatus: 304,
      });
      expect(answer.headers.get('age')).to.equal('0');
      const entry = (await place.entries('/x'))[0];
      expect(lastSeen(place.origin, 'if-none-match')).to.deep.equal([entry?.headers.get('etag')]);
      expect(await phaseOf('/x')).to.equal('hit');
      expect(place.origin.counts('/x').requests).to.equal(2);
    });

    it('is asked about by its date where it has no tag', async () => {
      const date = 'Sat, 01 Nov 2025 10:00:00 GMT';
      await stored('max-age=60', { etag: false, headers: [['Last-Modified', date]] });
      place.behave = () => ({ etag: false, status: 304 });
      place.clock.advance(61_000);
      expect(await phaseOf('/x')).to.equal('revalidated');
      expect(lastSeen(place.origin, 'if-modified-since')).to.deep.equal([date]);
    });

    it('gives way to another body', async () => {
      await stored('max-age=60');
      place.clock.advance(61_000);
      place.origin.bumpVersion('/x');
      const answer = await place.getSettled('/x');
      expect([answer.report.phase, answer.report.forward]).to.deep.equal(['miss', 'stale']);
      const check = place.origin.check('/x', { versions: [2] });
      check.write(answer.body);
      check.end();
      expect((await place.journal()).map(({ op }) => op)).to.deep.equal(['put', 'put']);
      expect(place.metrics.value('revalidations_total', 'changed')).to.equal(1);
    });

    it('is asked about once for all who ask at once', async () => {
      await stored('max-age=60');
      place.clock.advance(61_000);
      const answers = await Promise.all(Array.from({ length: 20 }, () => place.get('/x')));
      expect(new Set(answers.map(({ report }) => report.phase))).to.deep.equal(
        new Set(['revalidated']),
      );
      expect(place.origin.counts('/x').requests).to.equal(2);
    });

    it('needs no new row when the answer says nothing new', async () => {
      await stored('max-age=60');
      const before = await place.journal();
      place.clock.advance(61_000);
      expect(await phaseOf('/x')).to.equal('revalidated');
      expect(await place.journal()).to.deep.equal(before);
    });

    it('needs no new row when the same bytes come again with the same fields', async () => {
      await stored('max-age=60', { etag: '"a"' });
      const before = await place.journal();
      place.behave = () => ({
        etag: '"a"',
        status: 200,
        headers: [['Cache-Control', 'max-age=60']],
      });
      place.clock.advance(61_000);
      await place.getSettled('/x');
      expect(await place.journal()).to.deep.equal(before);
      expect(await phaseOf('/x')).to.equal('hit');
    });

    it('gets a new row when the 304 changes what its fields say', async () => {
      await stored('max-age=60');
      place.behave = () => ({
        headers: [
          ['Cache-Control', 'max-age=120'],
          ['X-New', 'yes'],
        ],
      });
      place.clock.advance(61_000);
      const answer = await place.getSettled('/x');
      expect([answer.report.phase, answer.headers.get('x-new')]).to.deep.equal([
        'revalidated',
        'yes',
      ]);
      expect((await place.journal()).map(({ op }) => op)).to.deep.equal(['put', 'refresh']);
      place.clock.advance(119_000);
      const hit = await place.get('/x');
      expect([hit.report.phase, hit.headers.get('x-new')]).to.deep.equal(['hit', 'yes']);
    });

    it('goes away when the 304 forbids keeping it', async () => {
      await stored('max-age=60');
      place.behave = () => ({ headers: [['Cache-Control', 'no-store']] });
      place.clock.advance(61_000);
      expect((await place.getSettled('/x')).body.length).to.equal(1024);
      expect(await place.entries('/x')).to.deep.equal([]);
    });

    it('is fetched whole when the 304 speaks of another one', async () => {
      await stored('max-age=60');
      place.behave = (_, number) => (number === 2 ? { status: 304, etag: '"another"' } : undefined);
      place.clock.advance(61_000);
      const answer = await place.getSettled('/x');
      expect([answer.report.phase, answer.body.length]).to.deep.equal(['miss', 1024]);
      expect(place.origin.counts('/x').requests).to.equal(3);
    });

    it('is asked about at every use where it says no-cache', async () => {
      await stored('no-cache');
      for (let i = 0; i < 3; i++) expect(await phaseOf('/x')).to.equal('revalidated');
      expect(place.origin.counts('/x').requests).to.equal(4);
      expect(await place.journal()).to.have.length(1);
    });
  });

  describe('P6: a client that wants it newer', () => {
    for (const directive of ['max-age=0', 'no-cache']) {
      it(`has it asked about with ${directive}, not fetched anew`, async () => {
        await open();
        await stored('max-age=60');
        const answer = await place.getSettled('/x', reload(directive));
        expect(answer.report).to.include({ phase: 'revalidated', forwardStatus: 304 });
        expect(answer.body.length).to.equal(1024);
      });

      it(`gets what is stored with ${directive} where the rule does not honour reloads`, async () => {
        await open({ settings: { honorClientReload: false } });
        await stored('max-age=60');
        expect(await phaseOf('/x', reload(directive))).to.equal('hit');
        expect(place.origin.counts('/x').requests).to.equal(1);
      });
    }

    it('may bound the age, and may take what is stale', async () => {
      await open();
      await stored('max-age=60');
      place.clock.advance(30_000);
      expect(await phaseOf('/x', reload('max-age=31'))).to.equal('hit');
      expect(await phaseOf('/x', reload('min-fresh=31'))).to.equal('revalidated');
      place.clock.advance(61_000);
      expect(await phaseOf('/x', reload('max-stale=10'))).to.equal('stale');
    });

    it('P20: gets an error for only-if-cached where nothing fits, and what is stored where it does', async () => {
      await open();
      const nothing = failureOf(place.ask('/x', reload('only-if-cached')));
      expect(kindOf(await nothing)).to.equal('timeout');
      await stored('max-age=60');
      expect(await phaseOf('/x', reload('only-if-cached'))).to.equal('hit');
      place.clock.advance(61_000);
      expect(kindOf(await failureOf(place.ask('/x', reload('only-if-cached'))))).to.equal(
        'timeout',
      );
      expect(place.origin.counts('/x').requests).to.equal(1);
    });
  });

  describe('P17: stale answers', () => {
    beforeEach(async () => {
      await open();
    });

    it('are given at once while one request refreshes them behind', async () => {
      await stored('max-age=60, stale-while-revalidate=30');
      place.clock.advance(61_000);
      place.origin.bumpVersion('/x');
      const old = await Promise.all([place.get('/x'), place.get('/x')]);
      for (const { report, body } of old) {
        expect(report.phase).to.equal('stale');
        expect(report.ttl).to.be.lessThan(0);
        expect(place.origin.check('/x', { versions: [1] }).write(body)).to.equal(undefined);
      }
      await place.origin.asked(2);
      await place.settled();
      expect(place.origin.counts('/x').requests).to.equal(2);
      const fresh = await place.get('/x');
      expect(fresh.report.phase).to.equal('hit');
      expect(place.origin.check('/x', { versions: [2] }).write(fresh.body)).to.equal(undefined);
      expect(place.metrics.value('stale_served_total', 'refreshing')).to.equal(2);
    });

    it('are not given once their window is over', async () => {
      await stored('max-age=60, stale-while-revalidate=30');
      place.clock.advance(91_000);
      expect(await phaseOf('/x')).to.equal('revalidated');
    });

    for (const [how, failing] of [
      ['breaks off', { reset: -1 }],
      ['answers 503', { status: 503 }],
    ] as const) {
      it(`stand in when the origin ${how}, as long as they allow`, async () => {
        await stored('max-age=60, stale-if-error=30');
        place.behave = () => failing;
        place.clock.advance(61_000);
        const answer = await place.getSettled('/x');
        expect([answer.status, answer.report.phase]).to.deep.equal([200, 'stale']);
        expect(answer.body.length).to.equal(1024);
        expect(place.metrics.value('stale_served_total', 'error')).to.equal(1);
      });
    }

    it('do not stand in where they must be revalidated, or are too old', async () => {
      await stored('max-age=60, stale-if-error=30, must-revalidate');
      place.behave = () => ({ status: 503 });
      place.clock.advance(61_000);
      expect((await place.getSettled('/x')).status).to.equal(503);
      await place[Symbol.asyncDispose]();
      await open();
      await stored('max-age=60, stale-if-error=30');
      place.behave = () => ({ reset: -1 });
      place.clock.advance(91_000);
      expect(kindOf(await failureOf(place.ask('/x')))).to.equal('upstream');
    });

    it('survive an error that is not kept in their place', async () => {
      await stored('max-age=60');
      place.clock.advance(61_000);
      place.behave = () => ({ status: 503, headers: [['Cache-Control', 'max-age=60']] });
      expect((await place.getSettled('/x')).status).to.equal(503);
      place.behave = () => undefined;
      expect(await phaseOf('/x')).to.equal('revalidated');
    });
  });
});
