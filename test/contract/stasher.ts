import { buffer } from 'node:stream/consumers';
import { setImmediate as tick } from 'node:timers/promises';
import { expect } from 'chai';
import type { Entry } from '../../src/manifest/entry.ts';
import type { Manifest } from '../../src/manifest/manifest.ts';
import type { Metrics } from '../../src/metrics.ts';
import type { Stashable, Stashed, Stasher } from '../../src/stashers/stasher.ts';
import type { Incoming } from '../../src/storage/backend.ts';
import type { BodyCache } from '../../src/storage/body-cache.ts';
import { type Digest, digestOf } from '../../src/storage/digest.ts';
import type { FakeClock } from '../support/fake-clock.ts';
import type { GatedBackend } from '../support/gated-backend.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { newEntry } from '../support/manifest-fixtures.ts';
import type { RecordedLog } from '../support/recorded-log.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { failureOf } from './backend-fixture.ts';

/** A stasher under the contract and what lies behind it. */
export interface StasherPlace extends AsyncDisposable {
  readonly stasher: Stasher;
  readonly backend: GatedBackend;
  readonly manifest: Manifest;
  readonly cache: BodyCache;
  readonly clock: FakeClock;
  readonly log: RecordedLog;
  readonly metrics: Metrics;
}

const MIB = 1024 * 1024;
const SIZES = [0, 1, 1000, 64 * 1024, 64 * 1024 + 1, 3 * MIB + 5];

/** A body with what a row says of it, as a protocol makes it. */
export function stashable(key: string, body: Incoming, baseJid = 0): Stashable {
  const { digest: _digest, size: _size, ...draft } = newEntry(key);
  return { draft, body, baseJid };
}

/** What every stasher promises that keeps something. */
export function stasherContract(name: string, open: () => Promise<StasherPlace>): void {
  describe(`Stasher contract: ${name}`, () => {
    let place: StasherPlace;
    let stasher: Stasher;
    beforeEach(async () => {
      place = await open();
      stasher = place.stasher;
    });
    afterEach(async () => {
      await place[Symbol.asyncDispose]();
    });

    async function rows(key: string): Promise<readonly Entry[]> {
      return await place.manifest.lookup('web', key);
    }

    async function keep(key: string, bytes: Buffer): Promise<Stashed> {
      const stashed = await stasher.stash(stashable(key, incomingOf(bytes)));
      if (stashed === undefined) throw new Error(`${key} was not kept`);
      return stashed;
    }

    async function bodyOf(digest: string): Promise<Buffer | undefined> {
      const opened = await stasher.bodies?.open(digest as Digest);
      return opened && (await buffer(opened.body));
    }

    async function blobs(): Promise<number> {
      let count = 0;
      for await (const _ of place.backend.list()) count += 1;
      return count;
    }

    for (const size of SIZES) {
      it(`keeps a body of ${size} bytes and writes its row`, async () => {
        const bytes = seededBytes(size);
        const { stat, recorded } = await keep('k', bytes);
        expect([stat.digest, stat.size]).to.deep.equal([digestOf(bytes), size]);
        expect((await rows('k'))[0]?.digest, 'the row counts at once').to.equal(stat.digest);
        expect(await recorded).to.equal(true);
        const [entry, ...others] = await rows('k');
        expect(others).to.deep.equal([]);
        expect([entry?.digest, entry?.size, entry?.rule]).to.deep.equal([
          stat.digest,
          size,
          'site',
        ]);
        expect(entry?.jid).to.be.greaterThan(0);
        expect((await bodyOf(stat.digest))?.equals(bytes)).to.equal(true);
        expect(place.metrics.value('stashed_total')).to.equal(1);
      });
    }

    it('names the rule as the one who wrote, and what the journal says is what was kept', async () => {
      const { stat, recorded } = await keep('k', seededBytes(100));
      await recorded;
      const { rows: journal } = await place.manifest.journal('web', '', 10);
      expect(journal.map(({ op, key, digest, actor }) => [op, key, digest, actor])).to.deep.equal([
        ['put', 'k', stat.digest, 'site'],
      ]);
    });

    it('has a body that came in memory at hand for the next request', async () => {
      const bytes = seededBytes(500);
      await stasher.stash(stashable('k', incomingOf(bytes, { inMemory: true })));
      expect(place.cache.get(digestOf(bytes))?.equals(bytes)).to.equal(true);
    });

    it('S5: keeps equal bodies of two keys once, with a row each', async () => {
      const bytes = seededBytes(70_000);
      const kept = await Promise.all([keep('one', bytes), keep('two', bytes)]);
      await Promise.all(kept.map(async ({ recorded }) => await recorded));
      expect((await rows('one'))[0]?.digest).to.equal((await rows('two'))[0]?.digest);
      expect(await blobs()).to.equal(1);
    });

    it('keeps many bodies at once', async () => {
      const kept = await Promise.all(
        Array.from({ length: 30 }, async (_, i) => await keep(`k${i}`, seededBytes(1000 * i, i))),
      );
      const recorded = await Promise.all(kept.map(async (one) => await one.recorded));
      expect(recorded).to.deep.equal(Array.from({ length: 30 }, () => true));
      expect(place.metrics.value('stashed_total')).to.equal(30);
    });

    it('keeps a body that is still growing when it is handed over', async () => {
      const bytes = seededBytes(2 * MIB + 3);
      const body = new GrowingBody({ bytes });
      const stashing = stasher.stash(stashable('k', body));
      for (let at = 0; at < bytes.length; at += 500_000) {
        body.grow(500_000);
        await tick();
        expect(await rows('k'), 'a row before the whole body').to.deep.equal([]);
      }
      body.seal();
      expect((await stashing)?.stat.size).to.equal(bytes.length);
      expect((await bodyOf(digestOf(bytes)))?.equals(bytes)).to.equal(true);
    });

    for (const size of [10, 2 * MIB]) {
      it(`keeps nothing of a body that is cut after ${size} bytes, and says what it was cut by`, async () => {
        const bytes = seededBytes(3 * MIB);
        const body = new GrowingBody({ bytes, expectedSize: bytes.length });
        const cut = new Error('the origin broke off');
        const stashing = failureOf(stasher.stash(stashable('k', body)));
        body.grow(size);
        await tick();
        body.cut(cut);
        expect(await stashing).to.equal(cut);
        expect(await rows('k')).to.deep.equal([]);
        expect(await blobs()).to.equal(0);
        expect(stasher.refusing, 'that is not the fault of the place').to.equal(false);
        expect(place.metrics.value('stash_failed_total')).to.equal(0);
      });
    }

    it('remembers no failure: the next body of the same key is kept', async () => {
      const bytes = seededBytes(1000);
      await failureOf(stasher.stash(stashable('k', new GrowingBody({ bytes }).cut())));
      expect(await (await keep('k', bytes)).recorded).to.equal(true);
    });

    it('writes no row before the body lies in its place', async () => {
      place.backend.hold();
      const stashing = keep('k', seededBytes(1000));
      await until(() => place.backend.asked === 1);
      expect(await rows('k')).to.deep.equal([]);
      expect((await place.manifest.journal('web', '', 10)).rows).to.deep.equal([]);
      place.backend.release();
      expect(await (await stashing).recorded).to.equal(true);
      expect(await rows('k')).to.have.length(1);
    });

    it('S7: keeps nothing where the place refuses, says so once in the log, and counts it', async () => {
      place.backend.full = true;
      expect(stasher.refusing).to.equal(false);
      expect(await stasher.stash(stashable('k', incomingOf(seededBytes(10))))).to.equal(undefined);
      expect(stasher.refusing).to.equal(true);
      expect(await rows('k')).to.deep.equal([]);
      expect(place.metrics.value('stash_failed_total', 'unavailable')).to.equal(1);
      const warnings = place.log.lines.filter(({ level }) => level === 'warn');
      expect(warnings.map(({ fields }) => fields['key'])).to.deep.equal(['k']);
    });

    it('asks a place that refused once a second, with one body', async () => {
      place.backend.full = true;
      const attempt = async (): Promise<unknown> =>
        await stasher.stash(stashable('k', incomingOf(seededBytes(10))));
      await attempt();
      expect(place.backend.asked).to.equal(1);
      expect(await Promise.all([attempt(), attempt()])).to.deep.equal([undefined, undefined]);
      place.clock.advance(999);
      await attempt();
      expect(place.backend.asked, 'within the second').to.equal(1);
      expect(place.metrics.value('stash_failed_total', 'refusing')).to.equal(3);
      place.clock.advance(1);
      await Promise.all([attempt(), attempt(), attempt()]);
      expect(place.backend.asked, 'after the second').to.equal(2);
      expect(stasher.refusing).to.equal(true);
    });

    it('keeps bodies again once the place takes them', async () => {
      place.backend.full = true;
      await stasher.stash(stashable('k', incomingOf(seededBytes(10))));
      place.backend.full = false;
      place.clock.advance(1000);
      expect(await (await keep('k', seededBytes(10))).recorded).to.equal(true);
      expect(stasher.refusing).to.equal(false);
      await keep('other', seededBytes(20));
      expect(place.backend.asked).to.equal(3);
    });

    it('records nothing that a purge took since the fetch began, and counts it', async () => {
      await (await keep('old', seededBytes(10))).recorded;
      const baseJid = place.manifest.position('web');
      await place.manifest.purge(purgeOf('k'));
      const stashed = await stasher.stash(stashable('k', incomingOf(seededBytes(99)), baseJid));
      expect(await stashed?.recorded).to.equal(false);
      expect(await rows('k')).to.deep.equal([]);
      expect(place.metrics.value('stash_refused_total')).to.equal(1);
    });

    it('records what was fetched after the purge, and what the purge did not mean', async () => {
      const before = place.manifest.position('web');
      await place.manifest.purge(purgeOf('k'));
      const after = place.manifest.position('web');
      const body = seededBytes(99);
      const again = await stasher.stash(stashable('k', incomingOf(body), after));
      const other = await stasher.stash(stashable('other', incomingOf(body), before));
      expect(await Promise.all([again?.recorded, other?.recorded])).to.deep.equal([true, true]);
      expect(place.metrics.value('stash_refused_total')).to.equal(0);
    });
  });
}

function purgeOf(value: string): Parameters<Manifest['purge']>[0] {
  return { kind: 'key', value, namespace: 'web', soft: false, actor: 'test' };
}

async function until(test: () => boolean): Promise<void> {
  while (!test()) await tick();
}
