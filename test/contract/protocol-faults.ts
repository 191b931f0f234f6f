import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import type { Body } from '../../src/body.ts';
import { kindOf } from '../../src/errors.ts';
import type { ProtocolResponse } from '../../src/protocol/protocol.ts';
import { gate, type PullPlace, wholeOf } from '../protocol/pull-place.ts';
import { readBytes } from '../support/http-client.ts';
import { failureOf } from './backend-fixture.ts';
import { type ProtocolFixture, purgeOf, until } from './protocol.ts';

const MIB = 1024 * 1024;

/** What every protocol promises that pulls through when bodies are cut, clients leave and purges come in between. */
export function protocolFaultContract(name: string, fixture: ProtocolFixture): void {
  const target = fixture.target(1);

  describe(`Protocol contract, faults: ${name}`, () => {
    let place: PullPlace;
    beforeEach(async () => {
      place = await fixture.open();
    });
    afterEach(async () => {
      await place[Symbol.asyncDispose]();
    });

    function expectWhole(body: Buffer, version?: number): void {
      const check = place.origin.check(target, version ? { versions: [version] } : {});
      check.write(body);
      check.end();
    }

    for (const [how, cut] of [
      ['announced', { size: 100_000, cut: 50_000 }],
      ['chunked', { size: 100_000, cut: 50_000, chunked: true }],
      ['reset', { size: 3 * MIB, reset: 2 * MIB }],
    ] as const) {
      it(`P11: lets every client of a cut body (${how}) see an error, and keeps nothing`, async () => {
        const rest = gate();
        place.behave = (_, number) =>
          number === 1 ? { ...cut, pause: { at: 1000, until: rest.opened } } : { size: cut.size };
        const responses = await Promise.all([place.ask(target), place.ask(target)]);
        const reads = responses.map(async (response) => await failureOf(wholeOf(response)));
        rest.open();
        for (const read of reads) expect(kindOf(await read)).to.equal('upstream');
        await place.settled();
        expect(await place.entries(target)).to.deep.equal([]);
        expect(await place.blobs()).to.equal(0);
        await until(() => place.folder.used === 0);
        expect(place.origin.counts().requests).to.equal(1);
        const next = await place.getSettled(target);
        expect([next.report.phase, next.body.length]).to.deep.equal(['miss', cut.size]);
        expectWhole(next.body);
        expect((await place.get(target)).report.phase).to.equal('hit');
      });
    }

    it('P12: gives the whole to those who wait when the one who asked first leaves before the head', async () => {
      const head = gate();
      place.behave = () => ({ delay: head.opened });
      const leader = new AbortController();
      const led = failureOf(place.ask(target, { signal: leader.signal }));
      await place.origin.asked(1);
      const others = [place.get(target), place.get(target)];
      leader.abort(new DOMException('the client left', 'AbortError'));
      expect(kindOf(await led)).to.equal('aborted');
      head.open();
      for (const other of others) expectWhole((await other).body);
      expect(place.origin.counts().requests).to.equal(1);
    });

    it('P12: gives the whole to the others when the one who asked first leaves within the body', async () => {
      const rest = gate();
      place.behave = () => ({ size: 20 * MIB, pause: { at: MIB, until: rest.opened } });
      const first = opened(await place.ask(target));
      const second = opened(await place.ask(target));
      await readBytes(first, 1000);
      first.destroy();
      rest.open();
      expectWhole(await buffer(second));
      await place.settled();
      expect((await place.get(target)).report.phase).to.equal('hit');
      expect(place.origin.counts().requests).to.equal(1);
    });

    it('P12: finishes a small body whose only client left after its first bytes', async () => {
      const rest = gate();
      place.behave = () => ({ size: MIB, pause: { at: 1000, until: rest.opened } });
      const body = opened(await place.ask(target));
      await readBytes(body, 100);
      body.destroy();
      rest.open();
      await place.settled();
      const next = await place.get(target);
      expect(next.report.phase).to.equal('hit');
      expectWhole(next.body);
      expect(place.origin.counts().requests).to.equal(1);
    });

    it('finishes a small body whose client left before the head', async () => {
      const head = gate();
      place.behave = () => ({ delay: head.opened });
      const client = new AbortController();
      const left = failureOf(place.ask(target, { signal: client.signal }));
      await place.origin.asked(1);
      client.abort();
      await left;
      head.open();
      await place.settled();
      expect((await place.get(target)).report.phase).to.equal('hit');
    });

    it('gives up a large body that is closed without being read, and holds nothing of it', async () => {
      const never = gate();
      place.behave = (_, number) =>
        number === 1 ? { size: 40 * MIB, pause: { at: MIB, until: never.opened } } : { size: 100 };
      const response = await place.ask(target);
      response.content?.close();
      await place.settled();
      expect(place.metrics.value('fills_abandoned_total')).to.equal(1);
      await until(() => place.folder.used === 0);
      expect(await place.entries(target)).to.deep.equal([]);
      expect((await place.get(target)).body.length).to.equal(100);
      never.open();
    });

    it('finishes a small body that is closed without being read', async () => {
      const response = await place.ask(target);
      response.content?.close();
      await place.settled();
      expect((await place.get(target)).report.phase).to.equal('hit');
      expect(place.origin.counts().requests).to.equal(1);
    });

    it('joins nobody to a large body that was just given up', async () => {
      const never = gate();
      place.behave = (_, number) =>
        number === 1 ? { size: 40 * MIB, pause: { at: MIB, until: never.opened } } : { size: 100 };
      const body = opened(await place.ask(target));
      await readBytes(body, 1000);
      body.destroy();
      await until(() => place.metrics.value('fills_abandoned_total') === 1);
      expect((await place.get(target)).body.length, 'asked in the same moment').to.equal(100);
      never.open();
    });

    for (const kind of ['key', 'prefix', 'rule', 'all'] as const) {
      it(`records no body that a purge (${kind}) took while it came, and joins nobody to it`, async () => {
        const rest = gate();
        place.behave = (_, number) =>
          number === 1
            ? { size: 200_000, pause: { at: 1000, until: rest.opened } }
            : { size: 200_000 };
        const running = wholeOf(await place.ask(target));
        const value = { key: place.keyOf(target), prefix: place.keyOf(target).slice(0, 10) };
        const values = { ...value, rule: 'site', all: '' };
        await place.purger.purge({ ...purgeOf(place, target), kind, value: values[kind] });
        place.origin.bumpVersion(target);
        const after = await place.get(target);
        expect(after.report.phase).to.equal('miss');
        expectWhole(after.body, 2);
        rest.open();
        expectWhole((await running).body, 1);
        await place.settled();
        await until(() => place.metrics.value('stash_refused_total') === 1);
        const kept = await place.get(target);
        expect(kept.report.phase).to.equal('hit');
        expectWhole(kept.body, 2);
        expect((await place.journal()).map(({ op }) => op)).to.deep.equal(['purge', 'put']);
      });
    }

    it('records no answer that a purge took while the origin was being asked for it', async () => {
      const head = gate();
      place.behave = (_, number) => (number === 1 ? { delay: head.opened } : undefined);
      const running = place.get(target);
      await place.origin.asked(1);
      await place.purger.purge(purgeOf(place, target));
      head.open();
      expectWhole((await running).body, 1);
      await place.settled();
      expect(await place.entries(target)).to.deep.equal([]);
      expect((await place.get(target)).report.phase).to.equal('miss');
    });

    it('brings nothing back that a purge took while it was being revalidated', async () => {
      await place.getSettled(target);
      await place.purger.purge({ ...purgeOf(place, target), soft: true });
      const head = gate();
      place.behave = (_, number) => (number === 2 ? { delay: head.opened } : undefined);
      const running = place.get(target);
      await place.origin.asked(2);
      await place.purger.purge(purgeOf(place, target));
      head.open();
      expectWhole((await running).body);
      await place.settled();
      expect(await place.entries(target)).to.deep.equal([]);
      expect((await place.get(target)).report.phase).to.equal('miss');
    });

    it('goes back to the origin after a purge', async () => {
      await place.getSettled(target);
      place.origin.bumpVersion(target);
      await place.purger.purge(purgeOf(place, target));
      const answer = await place.get(target);
      expect(answer.report.phase).to.equal('miss');
      expectWhole(answer.body, 2);
    });
  });
}

function opened({ content }: ProtocolResponse): Body {
  if (content === undefined) throw new Error('the answer has no body');
  return content.open();
}
