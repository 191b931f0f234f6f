import { setImmediate as tick } from 'node:timers/promises';
import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { gate, type PulledAnswer, type PullPlace, wholeOf } from '../protocol/pull-place.ts';
import { readBytes } from '../support/http-client.ts';
import { failureOf } from './backend-fixture.ts';

/** A protocol under the contract. */
export interface ProtocolFixture {
  open(): Promise<PullPlace>;
  /** A target that is kept for long, another for each number. */
  target(number: number): string;
}

const MIB = 1024 * 1024;

/** What every protocol promises that pulls through, whatever it understands: keeping, sharing, breaking off. */
export function protocolContract(name: string, fixture: ProtocolFixture): void {
  const target = fixture.target(1);

  describe(`Protocol contract: ${name}`, () => {
    let place: PullPlace;
    beforeEach(async () => {
      place = await fixture.open();
    });
    afterEach(async () => {
      await place[Symbol.asyncDispose]();
    });

    function expectWhole({ body }: PulledAnswer, of = target, version?: number): void {
      const check = place.origin.check(of, version ? { versions: [version] } : {});
      check.write(body);
      check.end();
    }

    for (const size of [0, 1024, 200_000, 3 * MIB + 1]) {
      it(`P1: fetches ${size} bytes once and gives the same bytes from then on`, async () => {
        place.behave = () => ({ size });
        const first = await place.getSettled(target);
        expect(first.report).to.include({ phase: 'miss', forward: 'uri-miss', stored: true });
        expect(first.report.forwardStatus).to.equal(200);
        const second = await place.get(target);
        expect(second.report.phase).to.equal('hit');
        expect(second.report.forward).to.equal(undefined);
        expect(second.report.ttl).to.be.greaterThan(0);
        for (const answer of [first, second]) {
          expect([answer.status, answer.body.length]).to.deep.equal([200, size]);
          expectWhole(answer);
        }
        expect(place.origin.counts().requests).to.equal(1);
        expect(await place.entries(target)).to.have.length(1);
        expect(await place.journal()).to.have.length(1);
      });
    }

    it('keeps two targets apart', async () => {
      const other = fixture.target(2);
      for (const each of [target, other]) await place.getSettled(each);
      expectWhole(await place.get(target));
      expectWhole(await place.get(other), other);
      expect(place.origin.counts().requests).to.equal(2);
    });

    it('P10: shares one fetch among 30, some of whom come after the body began', async () => {
      const size = 2 * MIB;
      const rest = gate();
      place.behave = () => ({ size, pause: { at: MIB, until: rest.opened } });
      const early = await Promise.all(Array.from({ length: 20 }, () => place.ask(target)));
      const reading = early.map(async (response) => await wholeOf(response));
      await until(() => place.folder.used > 0);
      const late = await Promise.all(Array.from({ length: 10 }, () => place.ask(target)));
      expect(late.every(({ report }) => report.collapsed === true)).to.equal(true);
      reading.push(...late.map(async (response) => await wholeOf(response)));
      rest.open();
      for (const answer of await Promise.all(reading)) {
        expect(answer.body.length).to.equal(size);
        expectWhole(answer);
      }
      expect(early.filter(({ report }) => report.collapsed !== true)).to.have.length(1);
      expect(place.origin.counts().requests).to.equal(1);
      await place.settled();
      expect(place.folder.used).to.equal(0);
    });

    it('P9: hands on the first bytes while the rest is not there yet', async () => {
      const rest = gate();
      place.behave = () => ({ size: 5000, pause: { at: 1000, until: rest.opened } });
      const { content } = await place.ask(target);
      const body = content?.open();
      if (body === undefined) throw new Error('no body');
      expect((await readBytes(body, 1000)).length).to.be.greaterThanOrEqual(1000);
      rest.open();
      body.resume();
      await place.settled();
      expect((await place.get(target)).report.phase).to.equal('hit');
    });

    it('P20: says that it has nothing when only what is kept was asked for', async () => {
      const failure = await failureOf(place.ask(target, { onlyIfCached: true }));
      expect(kindOf(failure)).to.equal('timeout');
      expect(place.origin.counts().requests).to.equal(0);
      await place.getSettled(target);
      const kept = await place.get(target, { onlyIfCached: true });
      expect(kept.report.phase).to.equal('hit');
      expectWhole(kept);
    });

    it('P15: answers HEAD from what GET stored, with the same fields', async () => {
      await place.getSettled(target);
      const get = await place.get(target);
      const head = await place.ask(target, { method: 'HEAD' });
      head.content?.close();
      expect([head.status, head.report.phase]).to.deep.equal([200, 'hit']);
      expect(head.headers.lines).to.deep.equal(get.headers.lines);
      expect(head.content?.size).to.equal(1024);
      expect(place.origin.counts().requests).to.equal(1);
    });

    it('P15: passes a HEAD of what is not kept on and keeps nothing of it', async () => {
      const head = await place.getSettled(target, { method: 'HEAD' });
      expect([head.status, head.body.length, head.report.stored]).to.deep.equal([200, 0, false]);
      expect(place.origin.seen.map(({ method }) => method)).to.deep.equal(['HEAD']);
      expect(await place.entries(target)).to.deep.equal([]);
    });

    it('answers a HEAD whole whose stored body is gone', async () => {
      await place.getSettled(target);
      await place.loseBody(target);
      const head = await place.ask(target, { method: 'HEAD' });
      expect([head.status, head.content?.size]).to.deep.equal([200, 1024]);
      head.content?.close();
      await place.settled();
      const healed = await place.get(target);
      expect(healed.report.phase).to.equal('hit');
      expectWhole(healed);
      expect(place.metrics.value('fills_failed_total')).to.equal(0);
    });

    it('P14: throws upstream when the origin breaks off before it answers, and asks it again', async () => {
      place.behave = (_, number) => (number === 1 ? { reset: -1 } : undefined);
      expect(kindOf(await failureOf(place.ask(target)))).to.equal('upstream');
      expectWhole(await place.getSettled(target));
      expect((await place.get(target)).report.phase).to.equal('hit');
    });

    it('P14: throws upstream when nothing listens where the origin was', async () => {
      await place.origin[Symbol.asyncDispose]();
      expect(kindOf(await failureOf(place.ask(target)))).to.equal('upstream');
      expect(await place.entries(target)).to.deep.equal([]);
    });

    for (const status of [404, 410]) {
      it(`relays the body of a ${status} word for word and remembers it shortly`, async () => {
        place.behave = () => ({ status, body: 'not here: try another\n', etag: false });
        const first = await place.getSettled(target);
        expect([first.status, String(first.body)]).to.deep.equal([
          status,
          'not here: try another\n',
        ]);
        const second = await place.get(target);
        expect([second.status, second.report.phase]).to.deep.equal([status, 'hit']);
        expect(String(second.body)).to.equal('not here: try another\n');
        expect(place.origin.counts().requests).to.equal(1);
        place.behave = () => undefined;
        place.clock.advance(61_000);
        const third = await place.getSettled(target);
        expect([third.status, third.report.phase]).to.deep.equal([200, 'miss']);
        expectWhole(third);
        expectWhole(await place.get(target));
        expect(place.origin.counts().requests).to.equal(2);
      });
    }

    it('keeps no copy of a body larger than it may, but hands it on', async () => {
      place.behave = () => ({ size: 65 * MIB });
      const answer = await place.get(target);
      expect([answer.body.length, answer.report.stored]).to.deep.equal([65 * MIB, false]);
      expectWhole(answer);
      await place.settled();
      expect(await place.entries(target)).to.deep.equal([]);
    });

    it('passes everything through while the place to keep it refuses, and keeps again afterwards', async () => {
      place.backend.full = true;
      expect((await place.getSettled(target)).report.phase, 'the one who finds out').to.equal(
        'miss',
      );
      const second = await place.getSettled(target);
      expect([second.report.phase, second.report.stored]).to.deep.equal(['bypass', false]);
      expectWhole(second);
      expect(await place.entries(target)).to.deep.equal([]);
      place.backend.full = false;
      place.clock.advance(1000);
      await place.getSettled(target);
      await place.getSettled(target);
      expect((await place.get(target)).report.phase).to.equal('hit');
    });

    it('asks whether an entry still holds that was made stale, and answers with its body', async () => {
      await place.getSettled(target);
      await place.purger.purge({ ...purgeOf(place, target), soft: true });
      const answer = await place.getSettled(target);
      expect(answer.report).to.include({ phase: 'revalidated', forward: 'stale' });
      expect(answer.report.forwardStatus).to.equal(304);
      expectWhole(answer);
      expect((await place.get(target)).report.phase).to.equal('hit');
      expect(place.origin.counts().requests).to.equal(2);
      expect(place.metrics.value('revalidations_total', 'confirmed')).to.equal(1);
    });

    it('fetches the whole when the entry holds but its body is gone', async () => {
      await place.getSettled(target);
      await place.purger.purge({ ...purgeOf(place, target), soft: true });
      await place.loseBody(target);
      const answer = await place.getSettled(target);
      expect(answer.status).to.equal(200);
      expectWhole(answer);
      expect((await place.get(target)).report.phase).to.equal('hit');
    });

    it('refetches what was deleted behind its back, and is whole again', async () => {
      await place.getSettled(target);
      await place.loseBody(target);
      const answer = await place.getSettled(target);
      expect(answer.report.phase).to.equal('miss');
      expectWhole(answer);
      expect(place.metrics.value('missing_blobs_total')).to.equal(1);
      const healed = await place.get(target);
      expect(healed.report.phase).to.equal('hit');
      expectWhole(healed);
      expect(await place.entries(target)).to.have.length(1);
      expect(place.origin.counts().requests).to.equal(2);
    });
  });
}

/** A purge of one target. */
export function purgeOf(
  place: PullPlace,
  target: string,
): Parameters<PullPlace['purger']['purge']>[0] {
  const { namespace } = place;
  return { kind: 'key', value: place.keyOf(target), namespace, soft: false, actor: 'test' };
}

/** Resolves once `test` holds. */
export async function until(test: () => boolean): Promise<void> {
  while (!test()) await tick();
}
