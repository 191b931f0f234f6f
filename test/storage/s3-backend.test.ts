import { expect } from 'chai';
import { kindOf, messageOf } from '../../src/errors.ts';
import { processIdentity } from '../../src/process-identity.ts';
import { digestOf } from '../../src/storage/digest.ts';
import type { S3BackendOptions } from '../../src/storage/s3-backend-options.ts';
import { backendContract } from '../contract/backend.ts';
import { contentOf, failureOf } from '../contract/backend-fixture.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { patience } from '../support/patience.ts';
import { bodyKey, NODE, openBucket, PREFIX } from '../support/s3-bucket.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';

const MIB = 1024 * 1024;

describe('S3 storage', function () {
  this.timeout(30_000);
  let server: S3Server;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
  });

  after(async () => await server?.stop());

  for (const checksums of ['supported', 'required'] as const) {
    backendContract(`s3, checksums ${checksums}`, async () => {
      const bucket = await openBucket(server, { checksums });
      return {
        backend: bucket.backend,
        reopen: async () => await bucket.reopen(),
        leftovers: async () => await bucket.leftovers(),
        flip: async (digest, offset) => await bucket.flip(bodyKey(digest), offset),
        corruptions: () => bucket.metrics.value('corrupt_blobs_total'),
        dispose: async () => await bucket[Symbol.asyncDispose](),
      };
    });
  }

  describe('S3Backend', () => {
    it('lets another node read and check what it has not stored itself', async () => {
      await using bucket = await openBucket(server);
      const bytes = seededBytes(12 * MIB);
      const { digest } = await bucket.backend.put(incomingOf(bytes));
      const range = { start: 5 * MIB + 3, end: 5 * MIB + 10 };
      const part = await contentOf(await (await bucket.neighbour()).open(digest, { range }));
      expect(part.equals(bytes.subarray(range.start, range.end + 1))).to.equal(true);
      await bucket.flip(bodyKey(digest), 5 * MIB);
      expect(await (await bucket.neighbour()).open(digest, { range })).to.equal(undefined);
      expect(bucket.metrics.value('corrupt_blobs_total')).to.equal(1);
    });

    it('lists as its own only what it put there itself, so that recovery leaves what others name', async () => {
      await using bucket = await openBucket(server);
      const neighbour = await bucket.neighbour();
      const [mine, theirs, both] = [1, 2, 3].map((seed) => seededBytes(1000, seed)) as [
        Buffer,
        Buffer,
        Buffer,
      ];
      const large = seededBytes(9 * MIB);
      await bucket.backend.put(incomingOf(mine));
      await bucket.backend.put(incomingOf(both));
      await bucket.backend.put(incomingOf(large));
      const foreign = await neighbour.put(incomingOf(theirs));
      await neighbour.put(incomingOf(both));
      await neighbour.put(incomingOf(large));
      await contentOf(await bucket.backend.open(foreign.digest));
      // A second time it is still its own, although the bucket had it.
      await bucket.backend.put(incomingOf(mine));
      const own = async (backend: { listOwn(): AsyncIterable<{ digest: string }> }) =>
        (await Array.fromAsync(backend.listOwn())).map(({ digest }) => digest);
      expect(await own(bucket.backend)).to.have.members([mine, both, large].map(digestOf));
      expect(await own(neighbour)).to.deep.equal([foreign.digest]);
    });

    it('judges a body by its digest where its block digests are missing or changed', async () => {
      await using bucket = await openBucket(server);
      const bytes = seededBytes(3 * MIB);
      const { digest } = await bucket.backend.put(incomingOf(bytes));
      await bucket.flip(`${bodyKey(digest)}.blocks`, 40);
      expect(
        (await contentOf(await (await bucket.neighbour()).open(digest))).equals(bytes),
      ).to.equal(true);
      await bucket.objects.delete(`${bodyKey(digest)}.blocks`);
      expect(
        (await contentOf(await (await bucket.neighbour()).open(digest))).equals(bytes),
      ).to.equal(true);
      await bucket.objects.delete(`${bodyKey(digest)}.blocks`);
      await bucket.flip(bodyKey(digest), 2 * MIB);
      expect(await (await bucket.neighbour()).open(digest)).to.equal(undefined);
      expect(bucket.metrics.value('corrupt_blobs_total')).to.equal(1);
    });

    it('does not take another body with its block digests for this one', async () => {
      await using bucket = await openBucket(server);
      const [one, two] = [seededBytes(3 * MIB, 'one'), seededBytes(3 * MIB, 'two')];
      const { digest } = await bucket.backend.put(incomingOf(one));
      await bucket.backend.put(incomingOf(two));
      for (const suffix of ['', '.blocks']) {
        await bucket.objects.copy(bodyKey(digestOf(two)) + suffix, bodyKey(digest) + suffix, {});
      }
      expect(await (await bucket.neighbour()).open(digest)).to.equal(undefined);
      expect(await bucket.backend.stat(digest)).to.equal(undefined);
    });

    it('answers undefined and counts it when an object went away behind its back', async () => {
      await using bucket = await openBucket(server);
      for (const size of [100, 12 * MIB]) {
        const { digest } = await bucket.backend.put(incomingOf(seededBytes(size)));
        await bucket.objects.delete(bodyKey(digest));
        expect(await bucket.backend.open(digest)).to.equal(undefined);
        expect(await bucket.backend.open(digest)).to.equal(undefined);
      }
      expect(bucket.metrics.value('missing_blobs_total')).to.equal(2);
    });

    it('treats an object of another length as damaged', async () => {
      await using bucket = await openBucket(server);
      const bytes = seededBytes(3 * MIB);
      const { digest } = await bucket.backend.put(incomingOf(bytes));
      for (const other of [
        bytes.subarray(0, 2 * MIB),
        Buffer.concat([bytes, bytes]),
        Buffer.alloc(0),
      ]) {
        await bucket.objects.put(bodyKey(digest), other, false, {});
        expect(await bucket.backend.open(digest)).to.equal(undefined);
        await bucket.backend.put(incomingOf(bytes));
      }
      expect(bucket.metrics.value('corrupt_blobs_total')).to.equal(3);
    });

    it('copies in parts what is too large for one copy', async () => {
      await using bucket = await openBucket(server, { copyLimit: 6 * MIB });
      const bytes = seededBytes(17 * MIB + 1);
      const { digest } = await bucket.backend.put(incomingOf(bytes));
      expect((await contentOf(await bucket.backend.open(digest))).equals(bytes)).to.equal(true);
      expect(await bucket.leftovers()).to.deep.equal([]);
    });

    it('sends parts while the body still arrives (S2)', async () => {
      await using bucket = await openBucket(server);
      const bytes = seededBytes(40 * MIB);
      const incoming = new GrowingBody({ bytes }).grow(33 * MIB);
      const putting = bucket.backend.put(incoming);
      while ((await bucket.leftovers()).length === 0)
        await new Promise((resolve) => setImmediate(resolve));
      expect((await bucket.leftovers())[0]).to.match(
        new RegExp(`^${PREFIX}staging/${NODE}\\.${processIdentity()}/`),
      );
      incoming.seal();
      await putting;
      expect(await bucket.leftovers()).to.deep.equal([]);
    });

    const wrong: Record<string, [Partial<S3BackendOptions>, RegExp]> = {
      'an access key': [
        { credentials: { accessKeyId: 'nobody', secretAccessKey: 'testtest' } },
        /credentials\.accessKeyId/,
      ],
      'a secret key': [
        { credentials: { accessKeyId: 'test', secretAccessKey: 'wrong' } },
        /credentials\.secretAccessKey/,
      ],
      'a bucket': [{ bucket: 'no-such-bucket' }, /bucket "no-such-bucket" does not exist/],
    };
    for (const [what, [options, message]] of Object.entries(wrong)) {
      it(`says in one line that ${what} is wrong`, async () => {
        await using bucket = await openBucket(server, options);
        const failure = await failureOf(bucket.backend.put(incomingOf(seededBytes(100))));
        expect(kindOf(failure)).to.equal('unavailable');
        expect(messageOf(failure)).to.match(message).and.not.include('\n');
        const again = await openBucket(server, options);
        expect((await again.backend.health()).problem).to.match(message);
        await again[Symbol.asyncDispose]();
      });
    }

    it('refuses at once while the store is away, and works again after it came back', async () => {
      await using own = await startS3Server();
      await using bucket = await openBucket(own);
      const bytes = seededBytes(1000);
      await bucket.backend.put(incomingOf(bytes));
      await own.kill();
      expect(kindOf(await failureOf(bucket.backend.open(digestOf(bytes))))).to.equal('unavailable');
      const before = performance.now();
      for (let round = 0; round < 100; round++)
        await failureOf(bucket.backend.stat(digestOf(bytes)));
      expect(performance.now() - before).to.be.below(2000 * patience());
      expect((await bucket.backend.health()).problem).to.match(/ECONNREFUSED/);
      await own.start();
      while ((await bucket.backend.health()).problem !== undefined)
        await new Promise((resolve) => setTimeout(resolve, 20));
      expect((await contentOf(await bucket.backend.open(digestOf(bytes)))).equals(bytes)).to.equal(
        true,
      );
    });

    it('gives its health within a second when the store hangs', async () => {
      await using own = await startS3Server();
      await using bucket = await openBucket(own);
      own.pause();
      let problem: string | undefined;
      // On a busy machine the server may answer once more before it stands still.
      while (problem === undefined) {
        const before = performance.now();
        problem = (await bucket.backend.health()).problem;
        expect(performance.now() - before).to.be.below(1500 * patience());
      }
      expect(problem).to.match(/does not answer/);
      own.resume();
    });
  });
});
