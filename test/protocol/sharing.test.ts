import { expect } from 'chai';
import type { HeaderLine } from '../../src/headers.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { gate, openPull, type PulledAnswer, type PullPlace } from './pull-place.ts';

const BURST = 10;
const PRIVATE: Behaviour = { headers: [['Cache-Control', 'private, max-age=60']] };
const PUBLIC: Behaviour = { headers: [['Cache-Control', 'max-age=60']] };

describe('what is shared and what is not', () => {
  let place: PullPlace;
  beforeEach(async () => {
    place = await openPull({ settings: { freshness: 'rfc' } });
  });
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  /** Answers once `count` requests are at the origin at the same time: who waits for another never comes. */
  function together(count: number, behaviour: Behaviour): () => Behaviour {
    const here = gate();
    let waiting = 0;
    return () => {
      waiting += 1;
      if (waiting === count) here.open();
      return { ...behaviour, delay: here.opened };
    };
  }

  async function burst(target: string, headers: HeaderLine[] = []): Promise<PulledAnswer[]> {
    const asked = Array.from({ length: BURST }, () => place.get(target, { headers }));
    return await Promise.all(asked);
  }

  /** Asks in a burst of which each one must be at the origin before any is answered. */
  async function expectParallel(target: string, behaviour: Behaviour): Promise<void> {
    place.origin.resetCounts();
    place.behave = together(BURST, behaviour);
    await burst(target);
    expect(place.origin.counts(target)).to.deep.equal({ requests: BURST, peak: BURST });
  }

  /** Asks in a burst of which the first one is answered when the others wait. */
  async function expectShared(target: string, behaviour: Behaviour): Promise<void> {
    place.origin.resetCounts();
    const head = gate();
    place.behave = () => ({ ...behaviour, delay: head.opened });
    const asked = burst(target);
    await place.origin.asked(1, target);
    head.open();
    await asked;
    expect(place.origin.counts(target).requests).to.equal(1);
  }

  for (const [what, behaviour] of [
    ['private', PRIVATE],
    ['a 403', { status: 403, size: 10, headers: [['Cache-Control', 'no-store']] }],
    ['a 401', { status: 401, size: 10, headers: [['Cache-Control', 'no-store']] }],
    ['for nobody else by its Vary', { headers: [['Vary', '*']] }],
  ] as const satisfies readonly (readonly [string, Behaviour])[]) {
    it(`F-85: lets all who wait go at once when an answer is ${what}, and the next ones not wait`, async () => {
      const head = gate();
      const rest = together(BURST - 1, behaviour);
      place.behave = (_, number) => (number === 1 ? { ...behaviour, delay: head.opened } : rest());
      const asked = burst('/x');
      await place.origin.asked(1, '/x');
      expect(place.origin.counts('/x').requests).to.equal(1);
      head.open();
      const answers = await asked;
      expect(place.origin.counts('/x')).to.deep.equal({ requests: BURST, peak: BURST - 1 });
      expect(answers.map(({ report }) => report.phase)).to.deep.equal(Array(BURST).fill('miss'));
      await expectParallel('/x', behaviour);
    });
  }

  it('F-85: lets who asks for another variant go at once, and does not hold it up again', async () => {
    const head = gate();
    const answer: Behaviour = {
      headers: [
        ['Cache-Control', 'max-age=60'],
        ['Vary', 'X-Kind'],
      ],
    };
    const rest = together(BURST - 1, answer);
    place.behave = (_, number) => (number === 1 ? { ...answer, delay: head.opened } : rest());
    const asked = Array.from({ length: BURST }, (_, kind) =>
      place.get('/x', { headers: [['X-Kind', String(kind)]] }),
    );
    await place.origin.asked(1, '/x');
    head.open();
    await Promise.all(asked);
    await place.settled();
    expect(place.origin.counts('/x')).to.deep.equal({ requests: BURST, peak: BURST - 1 });
    expect(await place.entries('/x')).to.have.length(BURST);
  });

  it('shares again once an answer may be kept', async () => {
    place.behave = () => PRIVATE;
    await place.getSettled('/x');
    place.behave = () => PUBLIC;
    await place.getSettled('/x');
    expect((await place.get('/x')).report.phase).to.equal('hit');
    place.clock.advance(61_000);
    await expectShared('/x', PUBLIC);
  });

  it('shares again after a purge, and after a while', async () => {
    place.behave = () => PRIVATE;
    await place.getSettled('/x');
    const namespace = place.namespace;
    const purge = { kind: 'prefix', value: place.keyOf('/'), namespace, soft: false } as const;
    place.clock.advance(10);
    await place.purger.purge({ ...purge, actor: 'test' });
    await expectShared('/x', PUBLIC);
    place.behave = () => PRIVATE;
    await place.getSettled('/y');
    place.clock.advance(61_000);
    await expectShared('/y', PUBLIC);
  });

  it('does not take an error, or what one client may not share, for a word on all', async () => {
    place.behave = () => ({ status: 503, headers: [['Cache-Control', 'no-store']] });
    await place.getSettled('/x');
    await expectShared('/x', PUBLIC);
    place.behave = () => PUBLIC;
    await place.getSettled('/y', { headers: [['Authorization', 'Bearer one']] });
    expect(await place.entries('/y')).to.deep.equal([]);
    await expectShared('/y', PUBLIC);
  });

  it('remembers so many resources and no more', async () => {
    place.behave = () => PRIVATE;
    await place.getSettled('/first');
    const query = 'x'.repeat(12_000);
    for (let number = 0; number < 360; number++) await place.getSettled(`/${number}?${query}`);
    await expectShared('/first', PUBLIC);
    await expectParallel(`/359?${query}`, PRIVATE);
  });

  it('F-86: a hot key that goes stale costs one question', async () => {
    const answer: Behaviour = { headers: [['Cache-Control', 'max-age=60']], size: 5_000 };
    place.behave = () => answer;
    await place.getSettled('/x');
    place.clock.advance(61_000);
    await expectShared('/x', answer);
    expect(place.metrics.value('revalidations_total')).to.equal(1);
  });
});
