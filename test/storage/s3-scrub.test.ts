import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { processIdentity } from '../../src/process-identity.ts';
import type { Digest } from '../../src/storage/digest.ts';
import { contentOf } from '../contract/backend-fixture.ts';
import { incomingOf } from '../support/incoming.ts';
import { bodyKey, NODE, openBucket, PREFIX, type TestBucket } from '../support/s3-bucket.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';

const MIB = 1024 * 1024;

describe('scrubbing a bucket', function () {
  this.timeout(30_000);
  let server: S3Server;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
  });

  after(async () => await server?.stop());

  const keysOf = async ({ objects }: TestBucket): Promise<string[]> =>
    (await Array.fromAsync(objects.all(PREFIX, {}))).map(({ key }) => key);
  const asideOf = (digest: Digest): string => `${PREFIX}quarantine/${NODE}/${digest}`;

  it('finds bodies whole, by its rate', async () => {
    await using bucket = await openBucket(server);
    for (const size of [0, 1000, 3 * MIB + 1, 12 * MIB]) {
      const { digest } = await bucket.backend.put(incomingOf(seededBytes(size)));
      let paced = 0;
      const pace = async (bytes: number): Promise<void> => {
        paced += bytes;
      };
      expect(await bucket.backend.scrub(digest, { pace })).to.equal('whole');
      expect(paced).to.equal(size);
    }
    expect(bucket.metrics.value('corrupt_blobs_total')).to.equal(0);
  });

  for (const verify of [true, false]) {
    it(`puts damaged bodies aside and leaves the others, verify: ${verify}`, async () => {
      await using bucket = await openBucket(server, { verify });
      const { backend, metrics } = bucket;
      const bytes = seededBytes(3 * MIB);
      const { digest } = await backend.put(incomingOf(bytes));
      const short = await backend.put(incomingOf(seededBytes(MIB, 'short')));
      const other = await backend.put(incomingOf(seededBytes(MIB, 'other')));
      await bucket.flip(bodyKey(digest), 3 * MIB - 1);
      await truncate(join(bucket.folder, bodyKey(short.digest)), 1000);
      expect(await backend.scrub(digest)).to.equal('damaged');
      expect(await backend.scrub(short.digest)).to.equal('damaged');
      expect(await backend.scrub(other.digest)).to.equal('whole');
      expect(metrics.value('corrupt_blobs_total')).to.equal(2);
      expect(await keysOf(bucket)).to.have.members([
        bodyKey(other.digest),
        asideOf(digest),
        asideOf(short.digest),
      ]);
      expect(await backend.open(digest)).to.equal(undefined);
      expect(await backend.scrub(digest)).to.equal('absent');
      const aside = await Array.fromAsync(backend.quarantined());
      expect(aside.map((stat) => [stat.digest, stat.size])).to.have.deep.members([
        [digest, 3 * MIB],
        [short.digest, 1000],
      ]);
      await backend.put(incomingOf(bytes));
      expect((await contentOf(await backend.open(digest))).equals(bytes)).to.equal(true);
      expect(await backend.release(digest)).to.equal(true);
      expect(await backend.release(digest)).to.equal(false);
    });
  }

  it('F-26: many who meet the damage at once raise one alarm', async () => {
    await using bucket = await openBucket(server);
    const { backend, metrics } = bucket;
    const { digest } = await backend.put(incomingOf(seededBytes(MIB)));
    await bucket.flip(bodyKey(digest), 5);
    const opened = await Promise.all(
      Array.from({ length: 10 }, async () => await backend.open(digest)),
    );
    expect(opened.every((one) => one === undefined)).to.equal(true);
    expect(metrics.value('corrupt_blobs_total')).to.equal(1);
    expect(await keysOf(bucket)).to.deep.equal([asideOf(digest)]);
  });

  it('counts a body that somebody removed as missing', async () => {
    await using bucket = await openBucket(server);
    const { digest } = await bucket.backend.put(incomingOf(seededBytes(MIB)));
    await bucket.objects.delete(bodyKey(digest));
    expect(await bucket.backend.scrub(digest)).to.equal('missing');
    expect(bucket.metrics.value('missing_blobs_total')).to.equal(1);
    expect(await bucket.backend.scrub(digest)).to.equal('absent');
  });

  it('names what a dead process left, and leaves it to recovery', async () => {
    await using bucket = await openBucket(server);
    const { backend, objects, uploads } = bucket;
    const dead = `${PREFIX}staging/${NODE}.999999-1-0/00000000-0000-4000-8000-000000000000`;
    const live = dead.replace('999999-1-0', processIdentity());
    for (const key of [dead, live]) {
      await objects.put(key, Buffer.from('staged'), false, {});
      await uploads.begin(key, {});
    }
    const named = await Array.fromAsync(backend.leftovers());
    expect(named).to.deep.equal([
      { name: dead, size: 0 },
      { name: dead, size: 6 },
    ]);
    expect(await backend.recover()).to.equal(2);
    expect(await keysOf(bucket)).to.deep.equal([live]);
    expect(await Array.fromAsync(backend.leftovers())).to.deep.equal([]);
  });

  it('sees only what this node put aside', async () => {
    await using bucket = await openBucket(server);
    const { digest } = await bucket.backend.put(incomingOf(seededBytes(1000)));
    await bucket.flip(bodyKey(digest), 5);
    const neighbour = await bucket.neighbour({ nodeId: 'caje-ffffffffffffffff' });
    expect(await neighbour.scrub(digest)).to.equal('damaged');
    expect(await Array.fromAsync(bucket.backend.quarantined())).to.deep.equal([]);
    expect(await Array.fromAsync(neighbour.quarantined())).to.have.length(1);
  });
});
