import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import type { Backend, Incoming } from '../../src/storage/backend.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { type BackendFixture, contentOf, expectBytes, failureOf } from './backend-fixture.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** The part of the backend contract about putting: how bodies come, and several at a time. */
export function backendWrites(current: () => BackendFixture): void {
  describe('writing', () => {
    let backend: Backend;

    beforeEach(() => {
      ({ backend } = current());
    });

    it('takes a body in pieces of any size', async () => {
      const bytes = seededBytes(2 * MIB + 77);
      const incoming = new GrowingBody({ bytes });
      const putting = backend.put(incoming);
      for (const count of [1, 63, 64 * KIB, 1, MIB - 1, 12_345]) {
        incoming.grow(count);
        await new Promise((resolve) => setImmediate(resolve));
      }
      incoming.seal();
      await putting;
      await expectBytes(backend, bytes);
    });

    it('takes bodies whose size nobody announced', async () => {
      for (const size of [0, 1, 100 * KIB, 9 * MIB]) {
        const bytes = seededBytes(size);
        const incoming = new GrowingBody({ bytes });
        const putting = backend.put(incoming.grow(Math.floor(size / 2)));
        setImmediate(() => incoming.seal());
        expect((await putting).size).to.equal(size);
        await expectBytes(backend, bytes);
      }
    });

    it('keeps a body of many parts', async () => {
      const bytes = seededBytes(27 * MIB + 1);
      await backend.put(incomingOf(bytes, { expectedSize: bytes.length }));
      await expectBytes(backend, bytes);
    });

    it('keeps many bodies that come at once', async () => {
      const bodies = Array.from({ length: 60 }, (_, index) => seededBytes(index * 2_500, index));
      await Promise.all(bodies.map(async (bytes) => await backend.put(incomingOf(bytes))));
      await Promise.all(bodies.map(async (bytes) => await expectBytes(backend, bytes)));
    });

    it('keeps nothing of a body that is shorter or longer than was sealed', async () => {
      for (const size of [100, 2 * MIB, 9 * MIB]) {
        const bytes = seededBytes(size);
        for (const other of [size - 1, size + 1]) {
          const { sealed } = incomingOf(bytes);
          const sent = incomingOf(seededBytes(size + 1).subarray(0, other));
          const lying: Incoming = { sealed, open: (options) => sent.open(options) };
          expect(kindOf(await failureOf(backend.put(lying)))).to.equal('integrity');
          expect(await backend.stat(digestOf(bytes))).to.equal(undefined);
        }
      }
    });

    for (const size of [100, 2 * MIB]) {
      it(`keeps ${size} bytes that are there when another put of them is cut or given up`, async () => {
        const bytes = seededBytes(size);
        await backend.put(incomingOf(bytes));
        const cut = new GrowingBody({ bytes, expectedSize: size }).grow(size - 1);
        const cutting = failureOf(backend.put(cut));
        cut.cut();
        await cutting;
        const abort = new AbortController();
        const left = new GrowingBody({ bytes, expectedSize: size }).grow(size - 1);
        const leaving = failureOf(backend.put(left, { signal: abort.signal }));
        abort.abort();
        expect(kindOf(await leaving)).to.equal('aborted');
        left.cut();
        await expectBytes(backend, bytes);
      });

      it(`keeps ${size} bytes of whom one of two puts is given up`, async () => {
        const bytes = seededBytes(size);
        const abort = new AbortController();
        const [first, second] = [0, 1].map(() =>
          new GrowingBody({ bytes, expectedSize: size }).grow(size - 1),
        ) as [GrowingBody, GrowingBody];
        const leaving = backend.put(first, { signal: abort.signal });
        const staying = backend.put(second);
        const left = failureOf(leaving);
        abort.abort();
        expect(kindOf(await left)).to.equal('aborted');
        first.cut();
        second.seal();
        await staying;
        await expectBytes(backend, bytes);
      });
    }

    it('holds on to nothing of the memory that it was offered', async () => {
      for (const size of [1000, 300 * KIB, 2 * MIB]) {
        const bytes = seededBytes(size);
        const offered = Buffer.from(bytes);
        await backend.put(incomingOf(offered, { inMemory: true }));
        offered.fill(0);
        await expectBytes(backend, bytes);
      }
    });

    it('takes a body again that was deleted', async () => {
      for (const size of [100, 2 * MIB]) {
        const bytes = seededBytes(size);
        for (let round = 0; round < 3; round++) {
          const { digest } = await backend.put(incomingOf(bytes));
          await expectBytes(backend, bytes);
          expect(await backend.delete(digest)).to.equal(true);
        }
        expect(await backend.stat(digestOf(bytes))).to.equal(undefined);
      }
    });

    it('has a body whole or not at all when it is put and deleted at once', async () => {
      for (const size of [100, 200 * KIB, 2 * MIB]) {
        const bytes = seededBytes(size);
        const digest = digestOf(bytes);
        const deletes = Array.from({ length: 4 }, async () => await backend.delete(digest));
        const puts = Array.from({ length: 4 }, async () => await backend.put(incomingOf(bytes)));
        await Promise.all([...deletes, ...puts]);
        const opened = await backend.open(digest);
        if (opened !== undefined) expect((await contentOf(opened)).equals(bytes)).to.equal(true);
        // Whatever won: it can be put, and is there then.
        await backend.put(incomingOf(bytes));
        await expectBytes(backend, bytes);
      }
    });

    it('shows a body that is being put whole or not at all', async () => {
      const bytes = seededBytes(3 * MIB);
      const digest = digestOf(bytes);
      const putting = backend.put(incomingOf(bytes));
      let isDone = false;
      const done = putting.then(() => {
        isDone = true;
      });
      while (!isDone) {
        const opened = await backend.open(digest);
        if (opened !== undefined) expect((await contentOf(opened)).equals(bytes)).to.equal(true);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await done;
      await expectBytes(backend, bytes);
    });
  });
}
