import { readdirSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { expect } from 'chai';
import { BLOCK_SIZE } from '../../src/body.ts';
import { kindOf } from '../../src/errors.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { incomingOf } from '../support/incoming.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';
import { type BackendFixture, contentOf, expectBytes, failureOf } from './backend-fixture.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** The part of the backend contract about reading: ranges, early ends, damage. */
export function backendReads(current: () => BackendFixture): void {
  describe('reading', () => {
    let fixture: BackendFixture;

    beforeEach(() => {
      fixture = current();
    });

    it('gives the range asked for', async () => {
      const bytes = seededBytes(3 * MIB + 100);
      await fixture.backend.put(incomingOf(bytes));
      const last = bytes.length - 1;
      for (const [start, end] of [
        [0, 0],
        [0, 99],
        [last, last],
        [last - 50, last],
        [MIB - 1, MIB],
        [MIB, 2 * MIB - 1],
        [MIB + 5, MIB + 6],
        [10, 2 * MIB + 10],
        [0, last],
      ] as const) {
        const opened = await fixture.backend.open(digestOf(bytes), { range: { start, end } });
        expect(opened?.size).to.equal(bytes.length);
        expect((await contentOf(opened)).equals(bytes.subarray(start, end + 1))).to.equal(true);
      }
    });

    it('gives ranges of a small body', async () => {
      const bytes = seededBytes(1000);
      await fixture.backend.put(incomingOf(bytes));
      const opened = await fixture.backend.open(digestOf(bytes), { range: { start: 10, end: 19 } });
      expect((await contentOf(opened)).equals(bytes.subarray(10, 20))).to.equal(true);
    });

    it('refuses a range outside the body', async () => {
      for (const size of [1000, 2 * MIB]) {
        const { digest } = await fixture.backend.put(incomingOf(seededBytes(size)));
        for (const range of [
          { start: size, end: size },
          { start: 0, end: size },
          { start: 5, end: 4 },
        ]) {
          expect(kindOf(await failureOf(fixture.backend.open(digest, { range })))).to.equal(
            'range',
          );
        }
      }
    });

    it('frees what a body holds when it is destroyed early', async function () {
      skipUnless(this, process.platform === 'linux', 'descriptors are counted in /proc', {
        exempt: true,
      });
      const { digest } = await fixture.backend.put(incomingOf(seededBytes(12 * MIB)));
      const before = descriptors();
      for (let round = 0; round < 20; round++) {
        const body = (await fixture.backend.open(digest))?.body as Readable;
        await destroyed(body);
      }
      // Sockets that are kept for the next request are few and stay few.
      expect(descriptors() - before).to.be.at.most(3);
    });

    it('stops a body when the signal of its opening fires', async () => {
      const { digest } = await fixture.backend.put(incomingOf(seededBytes(4 * MIB)));
      const abort = new AbortController();
      const opened = await fixture.backend.open(digest, { signal: abort.signal });
      abort.abort();
      expect(kindOf(await contentOf(opened).catch((error: unknown) => error))).to.equal('aborted');
    });

    for (const size of [100, 100 * KIB, 3 * MIB, 12 * MIB]) {
      it(`treats ${size} bytes with a damaged first block as not there, and a new put heals it`, async function () {
        skipUnless(this, fixture.flip !== undefined, 'its bytes cannot be changed from outside', {
          exempt: true,
        });
        const bytes = seededBytes(size);
        const { digest } = await fixture.backend.put(incomingOf(bytes));
        await fixture.flip?.(digest, 50);
        expect(await fixture.backend.open(digest)).to.equal(undefined);
        expect(fixture.corruptions()).to.equal(1);
        expect(await fixture.backend.stat(digest)).to.equal(undefined);
        await fixture.backend.put(incomingOf(bytes));
        await expectBytes(fixture.backend, bytes);
        expect(fixture.corruptions()).to.equal(1);
      });
    }

    it('breaks off before a damaged later block, and a new put heals it', async function () {
      skipUnless(this, fixture.flip !== undefined, 'its bytes cannot be changed from outside', {
        exempt: true,
      });
      const bytes = seededBytes(12 * MIB);
      const { digest } = await fixture.backend.put(incomingOf(bytes));
      await fixture.flip?.(digest, 5 * BLOCK_SIZE + 7);
      const opened = await fixture.backend.open(digest);
      if (opened === undefined) throw new Error('its first block is whole');
      const received: Buffer[] = [];
      const failure = await failureOf(
        (async () => {
          for await (const chunk of opened.body as AsyncIterable<Buffer>) received.push(chunk);
        })(),
      );
      expect(kindOf(failure)).to.equal('integrity');
      expect(Buffer.concat(received).equals(bytes.subarray(0, 5 * BLOCK_SIZE))).to.equal(true);
      expect(fixture.corruptions()).to.equal(1);
      await fixture.backend.put(incomingOf(bytes));
      await expectBytes(fixture.backend, bytes);
    });

    it('notices damage inside a range and none outside it', async function () {
      skipUnless(this, fixture.flip !== undefined, 'its bytes cannot be changed from outside', {
        exempt: true,
      });
      const bytes = seededBytes(4 * MIB);
      const { digest } = await fixture.backend.put(incomingOf(bytes));
      await fixture.flip?.(digest, 2 * BLOCK_SIZE);
      const outside = await fixture.backend.open(digest, {
        range: { start: 0, end: 2 * BLOCK_SIZE - 1 },
      });
      expect((await contentOf(outside)).equals(bytes.subarray(0, 2 * BLOCK_SIZE))).to.equal(true);
      expect(fixture.corruptions()).to.equal(0);
      const range = { start: 2 * BLOCK_SIZE + 100, end: 2 * BLOCK_SIZE + 200 };
      expect(await fixture.backend.open(digest, { range })).to.equal(undefined);
      expect(fixture.corruptions()).to.equal(1);
    });
  });
}

async function destroyed(body: Readable): Promise<void> {
  const closed = new Promise<void>((resolve) => body.once('close', () => resolve()));
  body.destroy();
  await closed;
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
