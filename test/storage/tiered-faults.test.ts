import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { type Digest, digestOf } from '../../src/storage/digest.ts';
import { contentOf, expectBytes, failureOf } from '../contract/backend-fixture.ts';
import { eventually } from '../criteria/eventually.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { openBucket } from '../support/s3-bucket.ts';
import { s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';
import { openTiered, SHORT_LIMITS, type TieredPlace } from './tiered-place.ts';

const MIB = 1024 * 1024;

/** Puts bodies of several sizes; gives them. */
async function putSome(place: TieredPlace, from = 0, count = 12): Promise<Buffer[]> {
  const bodies = Array.from({ length: count }, (_, index) =>
    seededBytes([100, 70_000, 3 * MIB][index % 3] ?? 0, from + index),
  );
  await Promise.all(bodies.map(async (body) => await place.tiered.put(incomingOf(body))));
  return bodies;
}

/** Bodies on the list of those that the far store still has to get. */
async function waiting({ database }: TieredPlace): Promise<Digest[]> {
  const digests: Digest[] = [];
  for await (const { digest } of database.blobs('both')) digests.push(digest);
  return digests;
}

async function caughtUp(place: TieredPlace): Promise<void> {
  await eventually('nothing waits', async () => (await waiting(place)).length === 0);
}

async function copied({ metrics }: TieredPlace, count: number): Promise<void> {
  await eventually('the count', () => metrics.value('tier_copied_total', 'far') === count);
}

describe('TieredBackend with a far store that fails', () => {
  for (const state of ['away', 'full'] as const) {
    it(`keeps bodies near while it is ${state}, says so, and copies them afterwards`, async () => {
      await using place = await openTiered();
      place.far.state = state;
      const bodies = await putSome(place);
      for (const body of bodies) await expectBytes(place.tiered, body);
      expect(await waiting(place)).to.have.lengthOf(12);
      const { problem } = await place.tiered.health();
      expect(problem).to.equal(`far (far): ${state}; 12 bodies wait to be copied`);
      place.far.state = undefined;
      await caughtUp(place);
      for (const body of bodies) await expectBytes(place.far.inner, body);
      await copied(place, 12);
      expect(place.metrics.value('tier_not_copied_total')).to.equal(0);
      expect(await place.tiered.health()).to.deep.equal({});
      expect(await place.leftovers()).to.deep.equal([]);
    });
  }

  it('remembers over a restart what the far store still has to get', async () => {
    await using place = await openTiered();
    place.far.state = 'away';
    const bodies = await putSome(place);
    await place.reopen();
    await caughtUp(place);
    for (const body of bodies) await expectBytes(place.far.inner, body);
  });

  it('lets nobody wait long for one that is silent', async () => {
    await using place = await openTiered({ limits: SHORT_LIMITS });
    const absent = await place.far.inner.put(incomingOf(seededBytes(3 * MIB, 'far')));
    place.far.state = 'silent';
    const from = performance.now();
    await putSome(place);
    expect(await waiting(place)).to.have.lengthOf(12);
    const asked = Array.from({ length: 20 }, async () => {
      expect(kindOf(await failureOf(place.tiered.open(absent.digest)))).to.equal('timeout');
    });
    await Promise.all(asked);
    expect(performance.now() - from).to.be.lessThan(8_000);
    const again = performance.now();
    await putSome(place, 100);
    const failure = await failureOf(place.tiered.open(absent.digest));
    expect(kindOf(failure)).to.equal('unavailable');
    expect(performance.now() - again).to.be.lessThan(6_000);
    place.far.state = undefined;
    await caughtUp(place);
    await copied(place, 24);
  }).timeout(20_000);

  it('tells what it cannot copy any more', async () => {
    await using place = await openTiered({ maxWaiting: 5 });
    place.far.state = 'away';
    await putSome(place, 0, 5);
    await putSome(place, 5, 2);
    expect(place.metrics.value('tier_not_copied_total', 'far')).to.equal(2);
    const [digest] = (await waiting(place)) as [Digest];
    await place.near.inner.delete(digest);
    place.far.state = undefined;
    await caughtUp(place);
    await eventually('the lost', () => place.metrics.value('tier_not_copied_total') === 3);
    await copied(place, 4);
  });

  it('forgets what is deleted, and what came far by another put', async () => {
    await using place = await openTiered({ retryMs: 60_000 });
    place.far.state = 'full';
    const [first, second] = (await putSome(place, 0, 2)) as [Buffer, Buffer];
    place.far.state = undefined;
    await place.tiered.put(incomingOf(first));
    expect(await waiting(place)).to.have.lengthOf(1);
    const { digest } = await incomingOf(second).sealed;
    expect(await place.tiered.delete(digest)).to.equal(true);
    expect(await waiting(place)).to.deep.equal([]);
  });

  it('keeps a body whose put was given up after the near store had it', async () => {
    await using place = await openTiered();
    place.far.state = 'silent';
    const abort = new AbortController();
    const bytes = seededBytes(2 * MIB);
    const putting = place.tiered.put(incomingOf(bytes), { signal: abort.signal });
    await eventually('the body near', async () => await place.near.inner.stat(digestOf(bytes)));
    abort.abort();
    await putting;
    expect(await waiting(place)).to.deep.equal([digestOf(bytes)]);
    place.far.state = undefined;
    await caughtUp(place);
    await expectBytes(place.far.inner, bytes);
  });

  it('fails a put only when both stores refuse, and names both', async () => {
    await using place = await openTiered();
    place.far.state = 'away';
    place.near.state = 'full';
    const failure = await failureOf(place.tiered.put(incomingOf(seededBytes(100))));
    expect(kindOf(failure)).to.equal('unavailable');
    expect(String(failure)).to.match(/near: full; far: away/);
    expect((await place.tiered.health()).problem).to.equal('near (near): full; far (far): away');
    expect(await waiting(place)).to.deep.equal([]);
    place.near.state = undefined;
    place.far.state = undefined;
    await putSome(place);
  });

  it('says why a body was cut, whichever store is away', async () => {
    for (const tier of ['near', 'far'] as const) {
      await using place = await openTiered();
      place[tier].state = 'away';
      const incoming = new GrowingBody({ bytes: seededBytes(2 * MIB) }).grow(MIB);
      const putting = failureOf(place.tiered.put(incoming));
      setImmediate(() => incoming.cut(Object.assign(new Error('cut'), { name: 'AbortError' })));
      expect(kindOf(await putting)).to.equal('aborted');
    }
  });

  it('reads from a near store while S3 is stopped in its tracks, and catches up when it goes on', async function () {
    this.timeout(60_000);
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    await using server = await startS3Server();
    await using bucket = await openBucket(server);
    await using place = await openTiered({
      makeFar: () => bucket.backend,
      limits: SHORT_LIMITS,
    });
    const before = await putSome(place);
    server.pause();
    const during = await putSome(place, 100);
    for (const body of [...before, ...during]) await expectBytes(place.tiered, body);
    expect((await place.tiered.health()).problem).to.match(/^far \(far\): /);
    server.resume();
    await caughtUp(place);
    await server.kill();
    const later = await putSome(place, 200);
    await server.start();
    await caughtUp(place);
    const neighbour = await bucket.neighbour();
    for (const body of [...before, ...during, ...later]) {
      const content = await contentOf(await neighbour.open(digestOf(body)));
      expect(content.equals(body)).to.equal(true);
    }
  });
});
