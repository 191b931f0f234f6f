import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import type { Digest } from '../../src/storage/digest.ts';
import { ENTRY_BYTES } from '../../src/storage/eviction.ts';
import { contentOf, failureOf } from '../contract/backend-fixture.ts';
import { eventually } from '../criteria/eventually.ts';
import { incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { openTiered, SHORT_LIMITS, type TieredPlace } from './tiered-place.ts';

const SIZE = 100_000;
const ROOM = 10;
const nearLimits = { maxBytes: ROOM * (SIZE + ENTRY_BYTES), highWater: 0.95, lowWater: 0.9 };

async function put({ tiered }: TieredPlace, seed: number): Promise<Digest> {
  const body = incomingOf(seededBytes(SIZE, seed), { expectedSize: SIZE });
  return (await tiered.put(body)).digest;
}

async function putAll(place: TieredPlace, from: number, count: number): Promise<Digest[]> {
  const digests: Digest[] = [];
  for (let seed = from; seed < from + count; seed++) digests.push(await put(place, seed));
  return digests;
}

async function nearHas({ near }: TieredPlace, digests: readonly Digest[]): Promise<boolean[]> {
  return await Promise.all(
    digests.map(async (digest) => (await near.inner.stat(digest)) !== undefined),
  );
}

describe('TieredBackend with a quota of the near store', () => {
  for (const nearType of ['disk', 'memory'] as const) {
    it(`keeps near, on ${nearType}, what the far store still has to get, before what it has`, async () => {
      await using place = await openTiered({ nearType, nearLimits, retryMs: 600_000 });
      place.far.state = 'away';
      const owed = await putAll(place, 1, 5);
      place.far.state = undefined;
      const others = await putAll(place, 100, 40);
      expect(await nearHas(place, owed)).to.deep.equal(owed.map(() => true));
      expect((await nearHas(place, others)).filter(Boolean)).to.have.length.within(2, ROOM - 5);
    });
  }

  it('takes nothing more near rather than to lose what waits, also what waited before a restart', async () => {
    await using place = await openTiered({ nearLimits });
    place.far.state = 'away';
    const owed = await putAll(place, 1, ROOM);
    expect(kindOf(await failureOf(put(place, 100)))).to.equal('too-large');
    await place.reopen();
    place.far.state = 'full';
    expect(kindOf(await failureOf(put(place, 101)))).to.equal('too-large');
    place.far.state = undefined;
    const got = async (): Promise<number> => (await Array.fromAsync(place.far.inner.list())).length;
    await eventually('all are far', async () => (await got()) === owed.length);
    expect(place.metrics.value('tier_not_copied_total')).to.equal(0);
    // What is far may go again.
    let seed = 200;
    await eventually('one of them is gone near', async () => {
      await put(place, seed++);
      return (await nearHas(place, owed)).includes(false);
    });
    for (const digest of owed)
      expect((await contentOf(await place.tiered.open(digest))).length).to.equal(SIZE);
  });

  it('loses nothing while it is not known yet whether the far store has it', async () => {
    await using place = await openTiered({ nearLimits, limits: SHORT_LIMITS, retryMs: 600_000 });
    place.far.state = 'silent';
    const seeds = Array.from({ length: 2 * ROOM }, (_, index) => index + 1);
    const puts = await Promise.allSettled(seeds.map(async (seed) => await put(place, seed)));
    const digests = puts.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(digests.length).to.be.within(ROOM / 2, ROOM);
    expect(await nearHas(place, digests)).to.deep.equal(digests.map(() => true));
  });

  it('does not ask a far store again and again for room that it has not', async () => {
    const far = { maxBytes: SIZE / 2, highWater: 0.95, lowWater: 0.9 };
    await using place = await openTiered({ farLimits: far });
    const digest = await put(place, 1);
    await eventually('it gives up', () => place.metrics.value('tier_not_copied_total') === 1);
    expect(place.database.blob('both', digest)).to.equal(undefined);
    expect(await nearHas(place, [digest])).to.deep.equal([true]);
    expect(place.far.puts).to.equal(2);
  });
});
