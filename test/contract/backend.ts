import { expect } from 'chai';
import { kindOf, ProxyError } from '../../src/errors.ts';
import type { Backend, Incoming, Stat } from '../../src/storage/backend.ts';
import { type Digest, digestOf, parseDigest } from '../../src/storage/digest.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';
import { type BackendFixture, contentOf, expectBytes, failureOf } from './backend-fixture.ts';
import { backendLists } from './backend-lists.ts';
import { backendReads } from './backend-reads.ts';
import { backendWrites } from './backend-writes.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Sizes around the edges where a backend changes its ways. */
const EDGES = [64 * KIB, MIB, 2 * MIB, 8 * MIB].flatMap((edge) => [edge - 1, edge, edge + 1]);

/** What every backend promises, run against a fresh one for each case. */
export function backendContract(name: string, create: () => Promise<BackendFixture>): void {
  describe(`Backend contract: ${name}`, () => {
    let fixture: BackendFixture;
    let backend: Backend;

    beforeEach(async () => {
      fixture = await create();
      ({ backend } = fixture);
    });

    afterEach(async () => {
      // Nothing may lie about whatever a case did.
      const left = await fixture.leftovers();
      await fixture.dispose();
      expect(left).to.deep.equal([]);
    });

    const put = async (bytes: Buffer, options: { inMemory?: boolean } = {}): Promise<Stat> =>
      await backend.put(incomingOf(bytes, options));

    it('answers undefined, not an error, for a digest it does not have', async () => {
      const digest = digestOf(Buffer.from('absent'));
      expect(await backend.stat(digest)).to.equal(undefined);
      expect(await backend.open(digest)).to.equal(undefined);
      expect(await backend.open(digest, { range: { start: 0, end: 1 } })).to.equal(undefined);
    });

    it('keeps an empty body', async () => {
      const stat = await put(Buffer.alloc(0));
      expect(stat.size).to.equal(0);
      await expectBytes(backend, Buffer.alloc(0));
      const failure = await failureOf(backend.open(stat.digest, { range: { start: 0, end: 0 } }));
      expect(kindOf(failure)).to.equal('range');
    });

    it('keeps every byte value', async () => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, value) => value));
      await put(bytes);
      await expectBytes(backend, bytes);
    });

    it('tells size and time of what it keeps', async () => {
      const before = Date.now();
      const bytes = seededBytes(1000);
      const stat = await put(bytes);
      expect(stat).to.include({ digest: digestOf(bytes), size: 1000 });
      const found = await backend.stat(stat.digest);
      expect(found).to.include({ digest: stat.digest, size: 1000 });
      // Stores with whole seconds round down.
      expect(found?.modifiedAt).to.be.within(before - 2000, Date.now() + 2000);
    });

    for (const size of EDGES) {
      it(`keeps ${size} bytes as they came`, async () => {
        const bytes = seededBytes(size);
        await put(bytes);
        await expectBytes(backend, bytes);
      });
    }

    it('takes bytes that are offered in memory', async () => {
      for (const size of [1, 64 * KIB, 300 * KIB, 3 * MIB]) {
        const bytes = seededBytes(size);
        await put(bytes, { inMemory: true });
        await expectBytes(backend, bytes);
      }
    });

    it('takes a body that is still growing, and shows it only once it is whole', async () => {
      const bytes = seededBytes(11 * MIB + 5);
      const incoming = new GrowingBody({ bytes, expectedSize: bytes.length });
      const putting = backend.put(incoming.grow(9 * MIB));
      expect(await backend.stat(digestOf(bytes))).to.equal(undefined);
      incoming.grow(MIB).seal();
      await putting;
      await expectBytes(backend, bytes);
    });

    it('puts the same body twice without harm', async () => {
      const bytes = seededBytes(3 * MIB);
      await put(bytes);
      expect((await put(bytes)).digest).to.equal(digestOf(bytes));
      await expectBytes(backend, bytes);
      expect((await listed(backend)).length).to.equal(1);
    });

    it('keeps one whole blob of eight puts at once', async () => {
      for (const size of [1 * KIB, 2 * MIB, 9 * MIB]) {
        const bytes = seededBytes(size);
        const stats = await Promise.all(Array.from({ length: 8 }, async () => await put(bytes)));
        expect(new Set(stats.map(({ digest }) => digest))).to.deep.equal(
          new Set([digestOf(bytes)]),
        );
        await expectBytes(backend, bytes);
      }
      expect((await listed(backend)).length).to.equal(3);
    });

    for (const size of [100, 2 * MIB, 20 * MIB]) {
      it(`keeps nothing of a body of ${size} bytes that was cut`, async () => {
        const bytes = seededBytes(size);
        const incoming = new GrowingBody({ bytes, expectedSize: size });
        const cut = new ProxyError('upstream', 'test', 'cut');
        const putting = failureOf(backend.put(incoming.grow(size - 1)));
        setImmediate(() => incoming.cut(cut));
        expect(kindOf(await putting)).to.equal('upstream');
        expect(await backend.stat(digestOf(bytes))).to.equal(undefined);
        expect(await listed(backend)).to.deep.equal([]);
      });

      it(`keeps nothing of an aborted put of ${size} bytes`, async () => {
        const bytes = seededBytes(size);
        const abort = new AbortController();
        const incoming = new GrowingBody({ bytes, expectedSize: size });
        const putting = failureOf(backend.put(incoming.grow(size - 1), { signal: abort.signal }));
        setImmediate(() => abort.abort());
        expect(kindOf(await putting)).to.equal('aborted');
        incoming.cut();
        expect(await backend.stat(digestOf(bytes))).to.equal(undefined);
      });
    }

    it('refuses a body whose bytes are not those that were sealed', async () => {
      for (const size of [100, 2 * MIB, 9 * MIB]) {
        const bytes = seededBytes(size, 'promised');
        const other = incomingOf(seededBytes(size, 'sent'));
        const sealed = incomingOf(bytes).sealed;
        const lying: Incoming = { sealed, open: (options) => other.open(options) };
        expect(kindOf(await failureOf(backend.put(lying)))).to.equal('integrity');
        expect(await backend.stat(digestOf(bytes))).to.equal(undefined);
      }
    });

    it('lists in order of digest, from any digest on, over more than one page', async () => {
      const digests: string[] = [];
      for (let start = 0; start < 1100; start += 50) {
        const some = Array.from(
          { length: 50 },
          async (_, index) => await put(Buffer.from(`body ${start + index}`)),
        );
        digests.push(...(await Promise.all(some)).map(({ digest }) => digest));
      }
      digests.sort();
      expect(await listed(backend)).to.deep.equal(digests);
      const middle = parseDigest(digests[700] ?? '');
      expect(await listed(backend, middle)).to.deep.equal(digests.slice(701));
      expect(await listed(backend, parseDigest('f'.repeat(64)))).to.deep.equal([]);
    }).timeout(60_000);

    it('deletes once and says so', async () => {
      for (const size of [10, 2 * MIB, 9 * MIB]) {
        const { digest } = await put(seededBytes(size));
        expect(await backend.delete(digest)).to.equal(true);
        expect(await backend.stat(digest)).to.equal(undefined);
        expect(await backend.open(digest)).to.equal(undefined);
        expect(await backend.delete(digest)).to.equal(false);
      }
      expect(await listed(backend)).to.deep.equal([]);
    });

    it('deletes nothing that is wanted again by then', async () => {
      const { digest } = await put(Buffer.from('wanted'));
      expect(await backend.delete(digest, { unless: async () => true })).to.equal(false);
      expect(await backend.stat(digest)).to.not.equal(undefined);
      expect(await backend.delete(digest, { unless: async () => false })).to.equal(true);
    });

    it('lets a reader finish that began before the delete', async () => {
      const bytes = seededBytes(4 * MIB);
      const { digest } = await put(bytes);
      const opened = await backend.open(digest);
      await backend.delete(digest);
      // A store far away may stop a reader that it has not served yet, but never with a clean end.
      const content = await contentOf(opened).catch(kindOf);
      if (typeof content === 'string') expect(content).to.equal('integrity');
      else expect(content.equals(bytes)).to.equal(true);
    });

    it('keeps neighbours apart', async () => {
      const bodies = ['one', 'one-two', 'one/x'].map((text) => Buffer.from(text));
      for (const body of bodies) await put(body);
      await backend.delete(digestOf(Buffer.from('one')));
      expect(await backend.stat(digestOf(Buffer.from('one')))).to.equal(undefined);
      for (const body of bodies.slice(1)) await expectBytes(backend, body);
    });

    it('refuses a call whose signal has fired', async () => {
      const { digest } = await put(Buffer.from('x'));
      const options = { signal: AbortSignal.abort() };
      for (const call of [
        backend.stat(digest, options),
        backend.open(digest, options),
        backend.put(incomingOf(Buffer.from('y')), options),
        backend.delete(digest, options),
      ]) {
        expect(kindOf(await failureOf(call))).to.equal('aborted');
      }
    });

    it('keeps its data over a restart', async function () {
      skipUnless(this, fixture.reopen !== undefined, 'it keeps nothing beyond its process', {
        exempt: true,
      });
      const bodies = [100, 2 * MIB, 9 * MIB].map((size) => seededBytes(size));
      for (const body of bodies) await put(body);
      const again = (await fixture.reopen?.()) ?? backend;
      for (const body of bodies) await expectBytes(again, body);
      expect(await listed(again)).to.deep.equal(bodies.map(digestOf).sort());
    });

    it('says that it is well', async () => {
      expect(await backend.health()).to.deep.equal({});
    });

    backendReads(() => fixture);
    backendWrites(() => fixture);
    backendLists(() => fixture);
  });
}

async function listed(backend: Backend, after?: Digest): Promise<string[]> {
  const digests: string[] = [];
  for await (const { digest } of backend.list(after)) digests.push(digest);
  return digests;
}
