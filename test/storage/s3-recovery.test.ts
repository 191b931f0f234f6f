import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { processIdentity } from '../../src/process-identity.ts';
import { type Digest, digestOf } from '../../src/storage/digest.ts';
import { S3Keys } from '../../src/storage/s3-keys.ts';
import { recoverS3 } from '../../src/storage/s3-recovery.ts';
import { incomingOf } from '../support/incoming.ts';
import { bodyKey, NODE, openBucket, PREFIX, type TestBucket } from '../support/s3-bucket.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';

const HOUR_MS = 3_600_000;
const MIB = 1024 * 1024;
/** As a process of another boot is named. */
const DEAD = '4194305-1-0badb007';
const OTHER = 'caje-fedcba9876543210';

describe('the janitor of a bucket', function () {
  this.timeout(30_000);
  let server: S3Server;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
  });

  after(async () => await server?.stop());

  const keyOf = (node: string, process: string, copies?: Digest): string =>
    `${PREFIX}staging/${node}.${process}/${randomUUID()}${copies === undefined ? '' : `.${copies}`}`;

  /** As if so many hours had passed. */
  const cleanAfter = async ({ objects, uploads }: TestBucket, hours: number): Promise<number> =>
    await recoverS3(
      {
        objects,
        uploads,
        keys: new S3Keys(PREFIX, NODE),
        now: () => Date.now() + hours * HOUR_MS,
      },
      {},
    );

  it('removes what dead processes of this node left, and nothing that a live one or another node works on (F-33)', async () => {
    await using bucket = await openBucket(server);
    const [dead, ...living] = [
      [NODE, DEAD],
      [NODE, processIdentity()],
      [OTHER, DEAD],
    ] as const;
    for (const [node, process] of [dead, ...living]) {
      await bucket.uploads.begin(keyOf(node, process), {});
      await bucket.objects.put(keyOf(node, process), Buffer.from('x'), false, {});
    }
    expect(await bucket.backend.recover()).to.equal(2);
    const left = await bucket.leftovers();
    expect(left.length).to.equal(2 * living.length);
    expect(left.filter((key) => key.includes(`${NODE}.${DEAD}/`))).to.deep.equal([]);
    expect(bucket.metrics.value('recovered_total')).to.equal(2);
  });

  it('removes what another node left once it stood still for a day', async () => {
    await using bucket = await openBucket(server);
    const key = keyOf(OTHER, DEAD);
    const id = await bucket.uploads.begin(key, {});
    await bucket.uploads.send(key, id, 1, seededBytes(100), {});
    await bucket.objects.put(keyOf(OTHER, DEAD), Buffer.from('x'), false, {});
    await bucket.objects.put(`${PREFIX}staging/${OTHER}.probe`, Buffer.from('x'), false, {});
    expect(await cleanAfter(bucket, 23)).to.equal(0);
    expect((await bucket.leftovers()).length).to.equal(2);
    expect(await cleanAfter(bucket, 25)).to.equal(3);
    expect(await Array.fromAsync(bucket.objects.all('', {}))).to.deep.equal([]);
    expect(await bucket.leftovers()).to.deep.equal([]);
  });

  it('never removes what this very process works on, however long it takes', async () => {
    await using bucket = await openBucket(server);
    await bucket.uploads.begin(keyOf(NODE, processIdentity()), {});
    await bucket.objects.put(keyOf(NODE, processIdentity()), Buffer.from('x'), false, {});
    expect(await cleanAfter(bucket, 1000)).to.equal(0);
  });

  it('ends a copy to a body at once where a dead process marked it, unless a live one copies it too', async () => {
    await using bucket = await openBucket(server);
    const [alone, shared, unmarked] = ['a', 'b', 'c'].map((text) =>
      digestOf(Buffer.from(text)),
    ) as [Digest, Digest, Digest];
    for (const digest of [alone, shared]) {
      await bucket.objects.put(keyOf(NODE, DEAD, digest), Buffer.alloc(0), false, {});
      await bucket.uploads.begin(bodyKey(digest), {});
    }
    await bucket.objects.put(keyOf(OTHER, DEAD, shared), Buffer.alloc(0), false, {});
    await bucket.uploads.begin(bodyKey(unmarked), {});
    expect(await bucket.backend.recover()).to.equal(3);
    const left = await bucket.uploads.list(PREFIX, {});
    expect(left.map(({ key }) => key)).to.have.members([bodyKey(shared), bodyKey(unmarked)]);
    expect(await cleanAfter(bucket, 25)).to.equal(3);
    expect(await bucket.leftovers()).to.deep.equal([]);
  });

  it('leaves alone what it did not make, wherever it lies', async () => {
    await using bucket = await openBucket(server);
    const strange = [
      'readme.txt',
      `${PREFIX}notes.txt`,
      `${PREFIX}sha256/ab/notes`,
      `${PREFIX}sha256/zz`,
      `${PREFIX}staging/backup.tar`,
      `${PREFIX}staging/${NODE}.keep/me`,
      `${PREFIX}staging/${NODE}.${DEAD}/report.csv`,
    ];
    for (const key of strange) {
      await bucket.objects.put(key, Buffer.from(key), false, {});
      await bucket.uploads.begin(`${key}-upload`, {});
    }
    const { digest } = await bucket.backend.put(incomingOf(seededBytes(2 * MIB)));
    expect(await cleanAfter(bucket, 1000)).to.equal(0);
    const listed = (await Array.fromAsync(bucket.backend.list())).map((stat) => stat.digest);
    expect(listed).to.deep.equal([digest]);
    await bucket.backend.delete(digest);
    const objects = (await Array.fromAsync(bucket.objects.all('', {}))).map(({ key }) => key);
    expect(objects).to.have.members(strange);
    expect((await bucket.uploads.list('', {})).length).to.equal(strange.length);
  });

  it('finds every open upload over many pages', async () => {
    await using bucket = await openBucket(server);
    const count = 1010;
    for (let start = 0; start < count; start += 101) {
      const some = Array.from(
        { length: 101 },
        async () => await bucket.uploads.begin(keyOf(NODE, DEAD), {}),
      );
      await Promise.all(some);
    }
    expect((await bucket.uploads.list(`${PREFIX}staging/`, {})).length).to.equal(count);
    expect(await bucket.backend.recover()).to.equal(count);
    expect(await bucket.leftovers()).to.deep.equal([]);
  });
});
