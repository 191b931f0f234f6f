import { setImmediate as tick } from 'node:timers/promises';
import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import type { Stashable } from '../../src/stashers/stasher.ts';
import { withPool } from '../../src/stashers/with-pool.ts';
import { withTimeout } from '../../src/stashers/with-timeout.ts';
import { contentDigestCheck, withVerify } from '../../src/stashers/with-verify.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { failureOf } from '../contract/backend-fixture.ts';
import { type StasherPlace, stashable } from '../contract/stasher.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { storePlace } from './stasher-place.ts';

const BYTES = seededBytes(1000);

let place: StasherPlace | undefined;

async function open(...[kind, wrappers]: Parameters<typeof storePlace>): Promise<StasherPlace> {
  place = await storePlace(kind, wrappers);
  return place;
}

afterEach(async () => {
  await place?.[Symbol.asyncDispose]();
  place = undefined;
});

describe('withTimeout', () => {
  it('goes on when the caller leaves', async () => {
    const { stasher, backend } = await open('memory', () => [withTimeout(60_000)]);
    const caller = new AbortController();
    backend.hold();
    const stashing = stasher.stash(stashable('k', incomingOf(BYTES)), { signal: caller.signal });
    await until(() => backend.asked === 1);
    caller.abort();
    backend.release();
    expect(await (await stashing)?.recorded).to.equal(true);
  });

  it('gives up a place that does not take the body in time, and counts it', async () => {
    const { stasher, backend, metrics, manifest } = await open('memory', () => [withTimeout(20)]);
    backend.hold();
    expect(await stasher.stash(stashable('k', incomingOf(BYTES)))).to.equal(undefined);
    expect(metrics.value('stash_failed_total', 'timeout')).to.equal(1);
    expect(stasher.refusing, 'the place had the whole body and did nothing').to.equal(true);
    expect(await manifest.lookup('web', 'k')).to.deep.equal([]);
  });

  it('does not blame the place for a body that does not come to its end in time', async () => {
    const { stasher, metrics } = await open('memory', () => [withTimeout(20)]);
    const body = new GrowingBody({ bytes: BYTES }).grow(10);
    expect(await stasher.stash(stashable('k', body))).to.equal(undefined);
    expect(metrics.value('stash_failed_total', 'timeout')).to.equal(1);
    expect(stasher.refusing).to.equal(false);
    const next = await stasher.stash(stashable('other', incomingOf(BYTES)));
    expect(await next?.recorded).to.equal(true);
  });
});

describe('withPool', () => {
  it('keeps no more bodies at a time than it may, and all of them in the end', async () => {
    const { stasher, backend } = await open('memory', () => [withPool(2)]);
    backend.hold();
    const kept = Array.from(
      { length: 5 },
      async (_, i) => await stasher.stash(stashable(`k${i}`, incomingOf(BYTES))),
    );
    await until(() => backend.asked === 2);
    for (let round = 0; round < 20; round++) await tick();
    expect(backend.asked).to.equal(2);
    backend.release();
    for (const stashed of await Promise.all(kept)) expect(stashed).not.to.equal(undefined);
    expect(backend.asked).to.equal(5);
  });

  it('serves but does not keep what would wait past its bound, and counts it', async () => {
    const metrics = new Metrics();
    const bound = { maxWaitingBytes: 2 * BYTES.length, metrics, log: silentLogger };
    const { stasher, backend } = await open('memory', () => [withPool(1, bound)]);
    backend.hold();
    const kept = Array.from(
      { length: 4 },
      async (_, i) =>
        await stasher.stash(stashable(`k${i}`, incomingOf(BYTES, { expectedSize: BYTES.length }))),
    );
    expect(await kept[3]).to.equal(undefined);
    expect(metrics.value('stash_failed_total', 'busy')).to.equal(1);
    backend.release();
    for (const stashed of await Promise.all(kept.slice(0, 3)))
      expect(stashed).not.to.equal(undefined);
    expect(await stasher.stash(stashable('later', incomingOf(BYTES)))).not.to.equal(undefined);
  });

  it('lets the next one in after a body that was cut', async () => {
    const { stasher } = await open('memory', () => [withPool(1)]);
    const cut = failureOf(stasher.stash(stashable('k', new GrowingBody({ bytes: BYTES }).cut())));
    const next = stasher.stash(stashable('other', incomingOf(BYTES)));
    await cut;
    expect(await (await next)?.recorded).to.equal(true);
  });

  it('keeps a body that still waits for its turn when its caller leaves', async () => {
    const { stasher, backend } = await open('memory', () => [withTimeout(60_000), withPool(1)]);
    const caller = new AbortController();
    backend.hold();
    const first = stasher.stash(stashable('one', incomingOf(BYTES)));
    const second = stasher.stash(stashable('two', incomingOf(BYTES)), { signal: caller.signal });
    caller.abort();
    backend.release();
    expect(await first).not.to.equal(undefined);
    expect(await (await second)?.recorded).to.equal(true);
  });
});

describe('withVerify', () => {
  const sha256 = (bytes: Buffer): string =>
    `sha-256=:${Buffer.from(digestOf(bytes), 'hex').toString('base64')}:`;

  function declaring(field: string, bytes = BYTES): Stashable {
    const plain = stashable('k', incomingOf(bytes));
    const headers = plain.draft.headers.with('Content-Digest', field);
    return { ...plain, draft: { ...plain.draft, headers } };
  }

  async function openChecked(): Promise<StasherPlace> {
    return await open('memory', (parts) => [withVerify(contentDigestCheck, parts)]);
  }

  it('keeps nothing that differs from the Content-Digest sent along, says why and counts it', async () => {
    const { stasher, manifest, backend, metrics, log } = await openChecked();
    const wrong = declaring(sha256(seededBytes(1000, 'other')));
    expect(await stasher.stash(wrong)).to.equal(undefined);
    expect(await manifest.lookup('web', 'k')).to.deep.equal([]);
    expect(await backend.stat(digestOf(BYTES))).to.equal(undefined);
    expect(metrics.value('stash_failed_total', 'integrity')).to.equal(1);
    expect(stasher.refusing).to.equal(false);
    const [line] = log.lines.filter(({ level }) => level === 'warn');
    expect([line?.fields['key'], line?.fields['err']]).to.deep.equal([
      'k',
      'the body does not have the digest that Content-Digest declares',
    ]);
  });

  for (const [what, field] of [
    ['the right digest', sha256(BYTES)],
    ['the right digest among others', `md5=:AAAA:, ${sha256(BYTES)}`],
    ['another algorithm only', 'sha-512=:AAAA:'],
    ['no structured field', 'this is not one ,,='],
    ['a digest that is no byte sequence', 'sha-256="text"'],
  ] as const) {
    it(`keeps a body whose Content-Digest has ${what}`, async () => {
      const { stasher } = await openChecked();
      expect(await (await stasher.stash(declaring(field)))?.recorded).to.equal(true);
    });
  }

  it('hands on what a cut body was cut by', async () => {
    const { stasher, metrics } = await openChecked();
    const cut = new Error('the origin broke off');
    const body = new GrowingBody({ bytes: BYTES });
    const stashing = failureOf(stasher.stash(stashable('k', body)));
    body.cut(cut);
    expect(await stashing).to.equal(cut);
    expect(metrics.value('stash_failed_total')).to.equal(0);
  });

  it('passes on the file of a large body, so that it is renamed and not copied', async () => {
    const { stasher } = await openChecked();
    let taken = 0;
    const bytes = seededBytes(100_000);
    const body = new (class extends GrowingBody {
      override async takeFile(): Promise<undefined> {
        taken += 1;
        return undefined;
      }
    })({ bytes }).seal();
    await place?.[Symbol.asyncDispose]();
    place = await storePlace('disk', (parts) => [withVerify(contentDigestCheck, parts)]);
    expect(await (await place.stasher.stash(stashable('k', body)))?.recorded).to.equal(true);
    expect(taken).to.equal(1);
    expect(stasher.refusing).to.equal(false);
  });
});

describe('A wrapped stasher', () => {
  it('has the name, the bodies and the state of the one inside', async () => {
    const { stasher, backend } = await open('memory', (parts) => [
      withVerify(contentDigestCheck, parts),
      withTimeout(60_000),
      withPool(4),
    ]);
    expect([stasher.name, stasher.bodies, stasher.refusing]).to.deep.equal([
      'keep',
      backend,
      false,
    ]);
    backend.full = true;
    await stasher.stash(stashable('k', incomingOf(BYTES)));
    expect(stasher.refusing).to.equal(true);
  });

  it('lets an error through that says what the body was cut by, with its kind', async () => {
    const { stasher } = await open('memory', () => [withTimeout(60_000), withPool(1)]);
    const cut = new DOMException('the client left', 'AbortError');
    const body = new GrowingBody({ bytes: BYTES }).cut(cut);
    expect(kindOf(await failureOf(stasher.stash(stashable('k', body))))).to.equal('aborted');
  });
});

async function until(test: () => boolean): Promise<void> {
  while (!test()) await tick();
}
