import { expect } from 'chai';
import { silentLogger } from '../src/log.ts';
import { keepUp, type UpkeepOptions } from '../src/upkeep.ts';
import { eventually } from './criteria/eventually.ts';
import { type UpkeepPlace, upkeepPlace } from './support/upkeep-place.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function optionsFor(place: UpkeepPlace, periodMs: number, signal: AbortSignal): UpkeepOptions {
  const config = {
    gc: { orphanGraceMs: HOUR_MS, quarantineMs: 7 * DAY_MS, periodMs },
    scrub: { periodMs: 0, rate: 1 },
  } as unknown as UpkeepOptions['config'];
  return {
    ...place,
    ...{ config, signal, nodeId: 'caje-0123456789abcdef', dataDir: place.folder },
    backends: [['local', place.backend]],
    log: silentLogger,
    build: async () => await Promise.reject(new Error('no rules')),
  };
}

describe('upkeep of a running node', () => {
  it('removes what nobody needs once in each gc.period, not only at the start', async () => {
    await using place = await upkeepPlace();
    const { backend, clock } = place;
    const leave = new AbortController();
    const keeping = keepUp(optionsFor(place, DAY_MS, leave.signal));
    for (const seed of ['first', 'second']) {
      const { digest } = await place.body(100_000, seed);
      await eventually('it waits', () => clock.sleeping === 1);
      clock.advance(0.89 * DAY_MS);
      expect(clock.sleeping).to.equal(1);
      expect(await backend.stat(digest)).to.not.equal(undefined);
      clock.advance(0.22 * DAY_MS);
      await eventually('it is gone', async () => (await backend.stat(digest)) === undefined);
    }
    leave.abort();
    await keeping;
  });

  it('does so at the start alone where the period is 0', async () => {
    await using place = await upkeepPlace();
    const { digest } = await place.body(100_000, 'first');
    place.clock.advance(2 * HOUR_MS);
    await keepUp(optionsFor(place, 0, new AbortController().signal));
    expect(await place.backend.stat(digest)).to.equal(undefined);
  });
});
