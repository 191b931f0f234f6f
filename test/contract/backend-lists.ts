import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { type Backend, isRecoverer, isShared } from '../../src/storage/backend.ts';
import { type Digest, digestOf } from '../../src/storage/digest.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { type BackendFixture, contentOf, expectBytes, failureOf } from './backend-fixture.ts';

const MIB = 1024 * 1024;

/** The part of the backend contract about what is there: lists, deletes, several readers, health. */
export function backendLists(current: () => BackendFixture): void {
  describe('lists, deletes and readers', () => {
    let backend: Backend;

    beforeEach(() => {
      ({ backend } = current());
    });

    const putMany = async (count: number): Promise<Digest[]> => {
      const puts = Array.from(
        { length: count },
        async (_, index) => await backend.put(incomingOf(Buffer.from(`body ${index}`))),
      );
      return (await Promise.all(puts)).map(({ digest }) => digest).sort();
    };

    it('lists nothing where nothing is, and nothing that is still growing', async () => {
      expect(await listed(backend)).to.deep.equal([]);
      const bytes = seededBytes(2 * MIB);
      const incoming = new GrowingBody({ bytes, expectedSize: bytes.length }).grow(MIB);
      const putting = backend.put(incoming);
      expect(await listed(backend)).to.deep.equal([]);
      incoming.seal();
      const { digest } = await putting;
      expect(await listed(backend)).to.deep.equal([digest]);
    });

    it('tells sizes and times in a list as for each body', async () => {
      const bodies = [0, 100, 2 * MIB, 9 * MIB].map((size) => seededBytes(size));
      for (const body of bodies) await backend.put(incomingOf(body));
      const sizes = new Map<Digest, number>();
      for await (const { digest, size, modifiedAt } of backend.list()) {
        sizes.set(digest, size);
        expect(modifiedAt).to.be.within(Date.now() - 60_000, Date.now() + 2_000);
      }
      expect(sizes).to.deep.equal(new Map(bodies.map((body) => [digestOf(body), body.length])));
    });

    it('can be listed in part, by several at once', async () => {
      const digests = await putMany(30);
      const heads = [1, 5, 29].map(async (count) => {
        const found: Digest[] = [];
        for await (const { digest } of backend.list()) {
          found.push(digest);
          if (found.length === count) break;
        }
        expect(found).to.deep.equal(digests.slice(0, count));
      });
      await Promise.all(heads);
      for (const at of [0, 28, 29])
        expect(await listed(backend, digests[at])).to.deep.equal(digests.slice(at + 1));
    });

    it('goes on listing while what it lists is deleted', async () => {
      const digests = await putMany(30);
      const found: Digest[] = [];
      for await (const { digest } of backend.list()) {
        found.push(digest);
        await backend.delete(digest);
      }
      expect(found).to.deep.equal(digests);
      expect(await listed(backend)).to.deep.equal([]);
    });

    it('refuses a list whose signal has fired', async () => {
      await putMany(2);
      const list = backend.list(undefined, { signal: AbortSignal.abort() });
      expect(kindOf(await failureOf(first(list)))).to.equal('aborted');
    });

    it('lists as its own what was put through it', async () => {
      if (!isShared(backend)) return;
      const digests = await putMany(5);
      const own: Digest[] = [];
      for await (const { digest } of backend.listOwn()) own.push(digest);
      expect(own).to.deep.equal(digests);
    });

    it('deletes nothing where nothing is, and asks nobody twice', async () => {
      const { digest } = await backend.put(incomingOf(Buffer.from('here')));
      const absent = digestOf(Buffer.from('absent'));
      expect(await backend.delete(absent)).to.equal(false);
      expect(await backend.delete(absent, { unless: async () => false })).to.equal(false);
      let asked = 0;
      const unless = async (): Promise<boolean> => ++asked > 0;
      expect(await backend.delete(digest, { unless })).to.equal(false);
      expect(asked).to.equal(1);
      expect(await listed(backend)).to.deep.equal([digest]);
    });

    it('says once that it deleted what several delete at once', async () => {
      const { digest } = await backend.put(incomingOf(seededBytes(2 * MIB)));
      const deletes = Array.from({ length: 5 }, async () => await backend.delete(digest));
      const results = await Promise.all(deletes);
      expect(results).to.include(true);
      expect(await backend.stat(digest)).to.equal(undefined);
    });

    it('serves many readers of one body, quick and slow', async () => {
      const bytes = seededBytes(5 * MIB);
      const { digest } = await backend.put(incomingOf(bytes));
      const readers = Array.from({ length: 10 }, async (_, index) => {
        const opened = await backend.open(digest);
        if (opened === undefined) throw new Error('nothing was opened');
        let position = 0;
        for await (const piece of opened.body as AsyncIterable<Buffer>) {
          expect(piece.equals(bytes.subarray(position, position + piece.length))).to.equal(true);
          position += piece.length;
          if (index % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        }
        expect(position).to.equal(bytes.length);
      });
      await Promise.all(readers);
    });

    it('serves the others when one reader leaves', async () => {
      const bytes = seededBytes(5 * MIB);
      const { digest } = await backend.put(incomingOf(bytes));
      const [leaving, staying] = await Promise.all([backend.open(digest), backend.open(digest)]);
      if (leaving === undefined) throw new Error('nothing was opened');
      leaving.body.destroy();
      expect((await contentOf(staying)).equals(bytes)).to.equal(true);
      await expectBytes(backend, bytes);
    });

    it('reads a body while it is put once more', async () => {
      const bytes = seededBytes(5 * MIB);
      const { digest } = await backend.put(incomingOf(bytes));
      const opened = await backend.open(digest);
      await backend.put(incomingOf(bytes));
      expect((await contentOf(opened)).equals(bytes)).to.equal(true);
    });

    it('recovers nothing of a live process', async () => {
      if (!isRecoverer(backend)) return;
      const bytes = seededBytes(9 * MIB);
      const incoming = new GrowingBody({ bytes, expectedSize: bytes.length }).grow(8.5 * MIB);
      const putting = backend.put(incoming);
      expect(await backend.recover()).to.equal(0);
      incoming.seal();
      await putting;
      await expectBytes(backend, bytes);
    });

    it('says that it is well to everybody who asks at once', async () => {
      const asked = Array.from({ length: 20 }, async () => await backend.health());
      expect(await Promise.all(asked)).to.deep.equal(Array.from({ length: 20 }, () => ({})));
    });
  });
}

async function listed(backend: Backend, after?: Digest): Promise<Digest[]> {
  const digests: Digest[] = [];
  for await (const { digest } of backend.list(after)) digests.push(digest);
  return digests;
}

async function first<T>(list: AsyncIterable<T>): Promise<T | undefined> {
  for await (const one of list) return one;
  return undefined;
}
