import { execFile } from 'node:child_process';
import { readdir, rm } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { BLOCK_SIZE, type Body } from '../../src/body.ts';
import { kindOf, ProxyError } from '../../src/errors.ts';
import type { Backend } from '../../src/storage/backend.ts';
import { type Digest, digestOf } from '../../src/storage/digest.ts';
import { contentOf, expectBytes, failureOf } from '../contract/backend-fixture.ts';
import { eventually } from '../criteria/eventually.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';
import { openTiered, type TieredPlace } from './tiered-place.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;

async function has(backend: Backend, digest: Digest): Promise<boolean> {
  return (await backend.stat(digest)) !== undefined;
}

/** Puts a body into the far store alone. */
async function onlyFar({ far }: TieredPlace, size: number): Promise<[Buffer, Digest]> {
  const bytes = seededBytes(size);
  const { digest } = await far.inner.put(incomingOf(bytes));
  return [bytes, digest];
}

async function bodyOf(place: TieredPlace, digest: Digest): Promise<AsyncIterable<Buffer>> {
  const opened = await place.tiered.open(digest);
  if (opened === undefined) throw new Error('nothing was opened');
  return opened.body;
}

async function near({ near: { inner } }: TieredPlace, digest: Digest): Promise<boolean> {
  return await eventually('the body near', async () => await has(inner, digest));
}

describe('TieredBackend', () => {
  it('hands one growing body to both at once', async () => {
    await using place = await openTiered({ nearType: 'memory' });
    const bytes = seededBytes(3 * MIB);
    const incoming = new GrowingBody({ bytes, expectedSize: bytes.length });
    const putting = place.tiered.put(incoming.grow(MIB));
    expect([place.near.puts, place.far.puts]).to.deep.equal([1, 1]);
    incoming.seal();
    const { digest } = await putting;
    await expectBytes(place.near.inner, bytes);
    await expectBytes(place.far.inner, bytes);
    expect(await has(place.tiered, digest)).to.equal(true);
  });

  it('reads near and asks far for nothing', async () => {
    await using place = await openTiered();
    const bytes = seededBytes(3 * MIB);
    await place.tiered.put(incomingOf(bytes));
    place.far.state = 'away';
    await expectBytes(place.tiered, bytes);
    expect(place.far.opens).to.have.lengthOf(0);
  });

  for (const size of [0, 100, 100_000, MIB, 3 * MIB + 1]) {
    it(`fills the near store with ${size} bytes from the far one`, async () => {
      await using place = await openTiered();
      const [bytes, digest] = await onlyFar(place, size);
      await expectBytes(place.tiered, bytes);
      await near(place, digest);
      place.far.state = 'away';
      await expectBytes(place.tiered, bytes);
      await eventually('its count', () => place.metrics.value('tier_copied_total', 'near') === 1);
      expect(await place.leftovers()).to.deep.equal([]);
    });
  }

  for (const size of [100_000, 12 * MIB]) {
    it(`reads ${size} bytes once from far for fifty who ask at once`, async () => {
      await using place = await openTiered();
      const [bytes, digest] = await onlyFar(place, size);
      const gate = Promise.withResolvers<void>();
      place.far.gate = gate.promise;
      const asked = Array.from({ length: 50 }, async () => {
        const content = await contentOf(await place.tiered.open(digest));
        expect(content.equals(bytes)).to.equal(true);
      });
      await new Promise((resolve) => setImmediate(resolve));
      gate.resolve();
      await Promise.all(asked);
      expect(place.far.opens).to.deep.equal([undefined]);
      await near(place, digest);
    }).timeout(20_000);
  }

  it('streams a far body while it comes, before it lies near', async () => {
    await using place = await openTiered();
    const [bytes, digest] = await onlyFar(place, 12 * MIB);
    const gate = Promise.withResolvers<void>();
    place.far.pause = { at: 3 * MIB, until: gate.promise };
    const received: Buffer[] = [];
    let size = 0;
    for await (const piece of await bodyOf(place, digest)) {
      received.push(piece);
      size += piece.length;
      if (size < 2 * MIB) continue;
      expect(await has(place.near.inner, digest)).to.equal(false);
      gate.resolve();
    }
    expect(Buffer.concat(received).equals(bytes)).to.equal(true);
  });

  it('reads a range of a large far body by itself, and copies nothing', async () => {
    await using place = await openTiered();
    const [bytes, digest] = await onlyFar(place, 9 * MIB);
    const range = { start: 5 * MIB, end: 5 * MIB + 9 };
    const content = await contentOf(await place.tiered.open(digest, { range }));
    expect(content.equals(bytes.subarray(range.start, range.end + 1))).to.equal(true);
    expect(place.far.opens).to.deep.equal([range]);
    expect(await has(place.near.inner, digest)).to.equal(false);
  });

  it('copies a small far body near when a range of it is asked for', async () => {
    await using place = await openTiered();
    const [bytes, digest] = await onlyFar(place, 2 * MIB);
    const range = { start: 10, end: MIB + 10 };
    const content = await contentOf(await place.tiered.open(digest, { range }));
    expect(content.equals(bytes.subarray(10, MIB + 11))).to.equal(true);
    await near(place, digest);
    expect(place.far.opens).to.deep.equal([range, undefined]);
  });

  it('finishes a small body whose readers left, and gives up a large one', async () => {
    await using place = await openTiered();
    const [, small] = await onlyFar(place, 5 * MIB);
    (await place.tiered.open(small))?.body.destroy();
    await near(place, small);
    const [, large] = await onlyFar(place, 80 * MIB);
    (await place.tiered.open(large))?.body.destroy();
    await eventually('no spool', async () => (await place.leftovers()).length === 0);
    expect(await has(place.near.inner, large)).to.equal(false);
    expect(place.metrics.value('tier_not_copied_total')).to.equal(0);
  }).timeout(20_000);

  it('goes on for the others when the reader that began leaves', async () => {
    await using place = await openTiered();
    const [bytes, digest] = await onlyFar(place, 20 * MIB);
    const abort = new AbortController();
    const first = await place.tiered.open(digest, { signal: abort.signal });
    const second = await place.tiered.open(digest);
    const cut = first?.body as Body;
    cut.on('error', () => undefined);
    abort.abort();
    expect((await contentOf(second)).equals(bytes)).to.equal(true);
    expect(place.far.opens).to.have.lengthOf(1);
    await near(place, digest);
  }).timeout(20_000);

  it('heals a near body from far, at its start and in the middle of an answer', async () => {
    await using place = await openTiered();
    const bytes = seededBytes(12 * MIB);
    const { digest } = await place.tiered.put(incomingOf(bytes));
    await place.flip('near', digest, 5 * BLOCK_SIZE + 7);
    expect((await contentOf(await place.tiered.open(digest))).equals(bytes)).to.equal(true);
    expect(place.far.opens).to.deep.equal([{ start: 5 * BLOCK_SIZE, end: bytes.length - 1 }]);
    expect(await has(place.near.inner, digest)).to.equal(false);
    await expectBytes(place.tiered, bytes);
    await near(place, digest);
    await place.flip('near', digest, 3);
    await expectBytes(place.tiered, bytes);
    await near(place, digest);
    expect(place.nearMetrics.value('corrupt_blobs_total')).to.equal(2);
    expect(place.farMetrics.value('corrupt_blobs_total')).to.equal(0);
  }).timeout(20_000);

  it('goes on from far within a range', async () => {
    await using place = await openTiered();
    const bytes = seededBytes(6 * MIB);
    const { digest } = await place.tiered.put(incomingOf(bytes));
    await place.flip('near', digest, 4 * BLOCK_SIZE);
    const range = { start: MIB + 5, end: 5 * MIB + 5 };
    const content = await contentOf(await place.tiered.open(digest, { range }));
    expect(content.equals(bytes.subarray(range.start, range.end + 1))).to.equal(true);
  });

  it('gives no wrong byte of a far body that is damaged, and keeps none near', async () => {
    await using place = await openTiered();
    const [bytes, digest] = await onlyFar(place, 12 * MIB);
    await place.flip('far', digest, 7 * BLOCK_SIZE);
    const body = await bodyOf(place, digest);
    const received: Buffer[] = [];
    const failure = await failureOf(
      (async () => {
        for await (const piece of body) received.push(piece);
      })(),
    );
    expect(kindOf(failure)).to.equal('integrity');
    const got = Buffer.concat(received);
    expect(got.equals(bytes.subarray(0, got.length))).to.equal(true);
    expect(await place.tiered.open(digest)).to.equal(undefined);
    expect(await has(place.near.inner, digest)).to.equal(false);
    await eventually('no leftovers', async () => (await place.leftovers()).length === 0);
  });

  it('goes on when the near store is emptied by hand', async () => {
    await using place = await openTiered();
    const bodies = [100_000, 3 * MIB].map((size) => seededBytes(size));
    for (const body of bodies) await place.tiered.put(incomingOf(body));
    await rm(place.nearRoot, { recursive: true });
    for (const body of bodies) await expectBytes(place.tiered, body);
    for (const body of bodies) await near(place, digestOf(body));
    expect(await readdir(place.nearRoot)).to.include(digestOf(bodies[1] as Buffer).slice(0, 2));
  });

  for (const state of ['full', 'away'] as const) {
    it(`keeps bodies far while the near store is ${state}, and near again afterwards`, async () => {
      await using place = await openTiered();
      place.near.state = state;
      const bytes = seededBytes(2 * MIB);
      const { digest } = await place.tiered.put(incomingOf(bytes));
      await expectBytes(place.tiered, bytes);
      expect(place.metrics.value('tier_failed_total', 'near')).to.be.greaterThan(0);
      expect((await place.tiered.health()).problem).to.match(/^near \(near\): /);
      place.near.state = undefined;
      await eventually('no reader', async () => (await place.leftovers()).length === 0);
      await expectBytes(place.tiered, bytes);
      await near(place, digest);
      expect(await place.tiered.health()).to.deep.equal({});
    });
  }

  it('reads far where the near store is too slow to say anything', async () => {
    await using place = await openTiered();
    const [bytes, digest] = await onlyFar(place, 100_000);
    place.near.fails = new ProxyError('timeout', 'test', 'too slow');
    expect((await contentOf(await place.tiered.open(digest))).equals(bytes)).to.equal(true);
    expect((await place.tiered.stat(digest))?.size).to.equal(bytes.length);
    const range = { start: 0, end: bytes.length };
    expect(kindOf(await failureOf(place.tiered.open(digest, { range })))).to.equal('range');
    const options = { signal: AbortSignal.abort() };
    expect(kindOf(await failureOf(place.tiered.open(digest, options)))).to.equal('aborted');
  });

  it('serves a near store that is read-only, and keeps what is new far', async function () {
    await using place = await openTiered();
    const old = seededBytes(2 * MIB, 'old');
    await place.tiered.put(incomingOf(old));
    const { nearRoot } = place;
    const isMounted = await run('mount', ['--bind', '-o', 'ro', nearRoot, nearRoot]).then(
      () => true,
      () => false,
    );
    skipUnless(this, isMounted, 'nothing can be mounted read-only here', { exempt: true });
    try {
      const bytes = seededBytes(2 * MIB, 'new');
      await place.tiered.put(incomingOf(bytes));
      await expectBytes(place.tiered, old);
      await expectBytes(place.tiered, bytes);
      expect((await place.tiered.health()).problem).to.match(/^near \(near\): .*EROFS/);
    } finally {
      await run('umount', [nearRoot]);
    }
  });

  it('deletes from both, also what is on its way near', async () => {
    await using place = await openTiered();
    const [, digest] = await onlyFar(place, 20 * MIB);
    const opened = await place.tiered.open(digest);
    expect(await place.tiered.delete(digest)).to.equal(true);
    await buffer(opened?.body as Body).catch(() => undefined);
    await eventually('no spool', async () => (await place.leftovers()).length === 0);
    expect(await has(place.near.inner, digest)).to.equal(false);
    expect(await has(place.far.inner, digest)).to.equal(false);
    expect(place.metrics.value('tier_not_copied_total')).to.equal(0);
  });

  it('lists what either has, once, in order', async () => {
    await using place = await openTiered();
    const bodies = Array.from({ length: 30 }, (_, seed) => seededBytes(50, seed));
    const digests = bodies.map(digestOf).sort();
    for (const [index, body] of bodies.entries()) {
      if (index % 3 !== 0) await place.near.inner.put(incomingOf(body));
      if (index % 3 !== 1) await place.far.inner.put(incomingOf(body));
    }
    for (const list of [place.tiered.list(), place.tiered.listOwn()]) {
      const found: string[] = [];
      for await (const { digest } of list) found.push(digest);
      expect(found).to.deep.equal(digests);
    }
    for await (const { digest } of place.tiered.list(digests[9] as Digest)) {
      expect(digest).to.equal(digests[10]);
      break;
    }
  });
});
