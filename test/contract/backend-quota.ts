import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import type { Metrics } from '../../src/metrics.ts';
import type { Backend } from '../../src/storage/backend.ts';
import { type Digest, digestOf } from '../../src/storage/digest.ts';
import { ENTRY_BYTES, type Pins } from '../../src/storage/eviction.ts';
import type { QuotaLimits } from '../../src/storage/quota.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { contentOf, failureOf } from './backend-fixture.ts';

/** A backend with a quota under the contract. */
export interface QuotaFixture extends AsyncDisposable {
  readonly backend: Backend;
  readonly metrics: Metrics;
}

/** What a case wants of its backend. */
export interface QuotaSettings {
  readonly limits: QuotaLimits;
  readonly pins?: Pins | undefined;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** In the node's database, and in a file. */
const SIZES = { small: 10 * KIB, large: 200 * KIB };
const WATERS = { highWater: 0.95, lowWater: 0.9 };

/** What every backend with a quota promises; `isSlow`: without the cases that take thousands of bodies. */
export function quotaContract(
  name: string,
  create: (settings: QuotaSettings) => Promise<QuotaFixture>,
  { isSlow = false }: { readonly isSlow?: boolean } = {},
): void {
  describe(`Backend contract, quota: ${name}`, () => {
    const bodyOf = (seed: number, size: number): Buffer => seededBytes(size, seed);
    const put = async (backend: Backend, seed: number, size: number): Promise<Digest> =>
      (await backend.put(incomingOf(bodyOf(seed, size), { expectedSize: size }))).digest;
    const read = async (backend: Backend, digest: Digest): Promise<void> =>
      void (await contentOf(await backend.open(digest)));
    const kept = async (backend: Backend): Promise<{ bytes: number; digests: Set<Digest> }> => {
      const digests = new Set<Digest>();
      let bytes = 0;
      for await (const { digest, size } of backend.list()) {
        digests.add(digest);
        bytes += size + ENTRY_BYTES;
      }
      return { bytes, digests };
    };

    for (const [kind, size] of Object.entries(SIZES)) {
      const room = (count: number): QuotaLimits => ({
        ...WATERS,
        maxBytes: count * (size + ENTRY_BYTES),
      });

      it(`keeps ${kind} bodies within maxBytes, and the newest of them`, async () => {
        await using fixture = await create({ limits: room(20) });
        const { backend, metrics } = fixture;
        let last: Digest | undefined;
        for (let seed = 1; seed <= 60; seed++) {
          last = await put(backend, seed, size);
          expect((await kept(backend)).bytes).to.be.at.most(room(20).maxBytes ?? 0);
        }
        // A step may still be under way.
        for (;;) {
          const { digests } = await kept(backend);
          expect(digests.size).to.be.within(17, 20);
          expect(digests.has(last as Digest)).to.equal(true);
          if (metrics.value('evicted_total') === 60 - digests.size) break;
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      });

      it(`lets ${kind} bodies go that were never asked for again before those that were`, async () => {
        await using fixture = await create({ limits: room(20) });
        const { backend } = fixture;
        const asked: Digest[] = [];
        for (let seed = 1; seed <= 10; seed++) asked.push(await put(backend, seed, size));
        for (const digest of asked) await read(backend, digest);
        for (let seed = 11; seed <= 26; seed++) await put(backend, seed, size);
        const { digests } = await kept(backend);
        for (const digest of asked) expect(digests.has(digest)).to.equal(true);
      });
    }

    it('never evicts a body that is being read, and does once it was', async () => {
      const limits = { ...WATERS, maxBytes: 8 * MIB };
      await using fixture = await create({ limits });
      const { backend } = fixture;
      // Several blocks, so that the reader has not got all at once.
      const bytes = bodyOf(99, 3 * MIB);
      const { digest } = await backend.put(incomingOf(bytes));
      const opened = await backend.open(digest);
      // Opening it spares it once; the hand comes round as others are asked for.
      for (let seed = 1; seed <= 30; seed++) await read(backend, await put(backend, seed, MIB / 2));
      expect(await backend.stat(digest)).to.not.equal(undefined);
      expect((await contentOf(opened)).equals(bytes)).to.equal(true);
      for (let seed = 31; seed <= 70; seed++)
        await read(backend, await put(backend, seed, MIB / 2));
      expect(await backend.stat(digest)).to.equal(undefined);
    });

    it('keeps no more than maxEntries', async () => {
      for (const maxEntries of [1, 2, 10]) {
        await using fixture = await create({ limits: { ...WATERS, maxEntries } });
        const { backend } = fixture;
        for (let seed = 1; seed <= 25; seed++) {
          const digest = await put(backend, seed, 100);
          const { digests } = await kept(backend);
          expect(digests.size).to.be.within(1, maxEntries);
          expect(digests.has(digest)).to.equal(true);
        }
      }
    });

    it('does not keep a body that is larger than the whole, and counts it', async () => {
      await using fixture = await create({ limits: { ...WATERS, maxBytes: 100 * KIB } });
      const { backend, metrics } = fixture;
      const there = await put(backend, 1, 10 * KIB);
      const bytes = bodyOf(2, 101 * KIB);
      for (const options of [{ expectedSize: bytes.length }, {}]) {
        const failure = await failureOf(backend.put(incomingOf(bytes, options)));
        expect(kindOf(failure)).to.equal('too-large');
      }
      const body = new GrowingBody({ bytes, expectedSize: bytes.length });
      // Before it is whole.
      expect(kindOf(await failureOf(backend.put(body)))).to.equal('too-large');
      expect([...(await kept(backend)).digests]).to.deep.equal([there]);
      expect(metrics.value('quota_refused_total', 'larger')).to.equal(3);
    });

    it('holds room for a body on its way from its first byte, and gives it back when it is cut', async () => {
      const limits = { ...WATERS, maxBytes: 100 * (10 * KIB + ENTRY_BYTES) };
      await using fixture = await create({ limits });
      const { backend } = fixture;
      for (let seed = 1; seed <= 90; seed++) await put(backend, seed, 10 * KIB);
      const bytes = bodyOf(1000, 500 * KIB);
      const coming = new GrowingBody({ bytes, expectedSize: bytes.length });
      const keeping = failureOf(backend.put(coming));
      while ((await kept(backend)).bytes > limits.maxBytes - bytes.length)
        await new Promise((resolve) => setTimeout(resolve, 5));
      coming.cut();
      await keeping;
      const before = (await kept(backend)).digests.size;
      for (let seed = 101; seed <= 140; seed++) await put(backend, seed, 10 * KIB);
      expect((await kept(backend)).digests.size).to.equal(before + 40);
    });

    if (!isSlow)
      it('does not let one huge body sweep out thousands of small ones', async function () {
        this.timeout(20_000);
        const count = 3000;
        const limits = { ...WATERS, maxBytes: count * (KIB + ENTRY_BYTES) };
        await using fixture = await create({ limits });
        const { backend, metrics } = fixture;
        const seeds = Array.from({ length: Math.floor(count * 0.94) }, (_, seed) => seed + 1);
        await Promise.all(seeds.map(async (seed) => await put(backend, seed, KIB)));
        const huge = incomingOf(bodyOf(99_999, 2000 * KIB), { expectedSize: 2000 * KIB });
        expect(kindOf(await failureOf(backend.put(huge)))).to.equal('too-large');
        expect((await kept(backend)).digests.size).to.equal(seeds.length);
        expect(metrics.value('quota_refused_total', 'huge')).to.equal(1);
        // Asked for again, it is worth more than what never was.
        await backend.put(huge);
        expect((await kept(backend)).bytes).to.be.at.most(limits.maxBytes);
      });

    it('leaves pinned bodies, and refuses what finds no room beside them', async () => {
      const pinned = new Set<Digest>();
      const pins: Pins = {
        pinnedAmong: async (digests) => new Set(digests.filter((digest) => pinned.has(digest))),
      };
      const limits = { ...WATERS, maxBytes: 10 * (SIZES.large + ENTRY_BYTES) };
      await using fixture = await create({ limits, pins });
      const { backend, metrics } = fixture;
      for (let seed = 1; seed <= 5; seed++) pinned.add(digestOf(bodyOf(seed, SIZES.large)));
      for (let seed = 1; seed <= 30; seed++) await put(backend, seed, SIZES.large);
      for (const digest of pinned) await read(backend, digest);
      for (let seed = 31; seed <= 60; seed++) {
        pinned.add(digestOf(bodyOf(seed, SIZES.large)));
        await put(backend, seed, SIZES.large).catch(() => {});
      }
      expect(metrics.value('quota_refused_total', 'full')).to.be.greaterThan(0);
      const { digests, bytes } = await kept(backend);
      expect(bytes).to.be.at.most(limits.maxBytes);
      for (let seed = 1; seed <= 5; seed++)
        expect(digests.has(digestOf(bodyOf(seed, SIZES.large)))).to.equal(true);
    });
  });
}
