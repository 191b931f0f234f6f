import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { type Digest, digestOf } from '../../src/storage/digest.ts';
import { ENTRY_BYTES } from '../../src/storage/eviction.ts';
import type { QuotaLimits } from '../../src/storage/quota.ts';
import type { S3BackendOptions } from '../../src/storage/s3-backend-options.ts';
import { contentOf, failureOf } from '../contract/backend-fixture.ts';
import { quotaContract } from '../contract/backend-quota.ts';
import { eventually } from '../criteria/eventually.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { bodyKey, openBucket } from '../support/s3-bucket.ts';
import { S3Proxy, type S3ProxyCall } from '../support/s3-proxy.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';

const MIB = 1024 * 1024;
const SIZE = 100_000;
const WATERS = { highWater: 0.95, lowWater: 0.9 };

const roomFor = (count: number, size = SIZE): QuotaLimits => ({
  ...WATERS,
  maxBytes: count * (size + ENTRY_BYTES),
});

async function put(
  backend: { put: S3Put },
  seed: number | string,
  size: number = SIZE,
): Promise<Digest> {
  const body = incomingOf(seededBytes(size, seed), { expectedSize: size });
  return (await backend.put(body)).digest;
}

type S3Put = (incoming: GrowingBody) => Promise<{ readonly digest: Digest }>;

describe('quota of a bucket', function () {
  this.timeout(30_000);
  let server: S3Server;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
  });

  after(async () => await server?.stop());

  const create = async ({
    limits,
    pins,
  }: {
    limits: QuotaLimits;
    pins?: S3BackendOptions['pins'];
  }) => await openBucket(server, { quota: limits, pins });
  quotaContract('s3', create, { isSlow: true });

  it('lets nobody begin to read in the moment in which a body goes', async () => {
    for (let ticks = 0; ticks < 6; ticks++) {
      const opening: Promise<Buffer | undefined>[] = [];
      const read = async (digest: Digest): Promise<Buffer | undefined> => {
        for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
        const opened = await bucket.backend.open(digest);
        return opened && (await contentOf(opened));
      };
      const pinnedAmong = async (digests: readonly Digest[]): Promise<ReadonlySet<Digest>> => {
        opening.push(...digests.map(read));
        return await Promise.resolve(new Set<Digest>());
      };
      await using bucket = await openBucket(server, { quota: roomFor(4), pins: { pinnedAmong } });
      // What is being read in time stays, and then there is no room.
      for (let seed = 1; seed <= 5; seed++) await put(bucket.backend, seed).catch(() => undefined);
      await eventually('somebody to be read', () => opening.length > 0);
      for (const bytes of await Promise.all(opening)) expect(bytes?.length ?? SIZE).to.equal(SIZE);
      expect(bucket.metrics.value('missing_blobs_total'), `${ticks} ticks`).to.equal(0);
    }
  });

  it('counts and evicts what this node put, and what another one puts is left alone', async () => {
    await using bucket = await openBucket(server, { quota: roomFor(10) });
    const { backend } = bucket;
    const neighbour = await bucket.neighbour({ quota: undefined });
    const theirs: Digest[] = [];
    for (let seed = 1; seed <= 12; seed++) theirs.push(await put(neighbour, seed));
    for (const digest of theirs) await contentOf(await backend.open(digest));
    const shared = await put(backend, 'shared');
    expect((await contentOf(await neighbour.open(shared))).length).to.equal(SIZE);
    for (let seed = 101; seed <= 130; seed++) await put(backend, seed);
    const own = await Array.fromAsync(backend.listOwn());
    expect(own.length).to.be.within(8, 10);
    for (const digest of theirs) expect(await backend.stat(digest)).to.not.equal(undefined);
    // Gone for the other, too: a miss, and what it puts again is its own.
    expect(await neighbour.open(shared)).to.equal(undefined);
    await put(neighbour, 'shared');
    for (let seed = 131; seed <= 160; seed++) await put(backend, seed);
    expect((await contentOf(await backend.open(shared))).length).to.equal(SIZE);
    const listed = (await Array.fromAsync(neighbour.listOwn())).map(({ digest }) => digest);
    expect(listed).to.have.members([...theirs, shared]);
  });

  it('meets a quota that was lowered after the next start', async () => {
    const options: { quota?: QuotaLimits } = {};
    await using bucket = await openBucket(server, options);
    const digests: Digest[] = [];
    for (let seed = 1; seed <= 15; seed++) digests.push(await put(bucket.backend, seed));
    options.quota = roomFor(10);
    const backend = await bucket.reopen();
    await backend.recover();
    const kept = async () => (await Array.fromAsync(backend.list())).map(({ digest }) => digest);
    await eventually('it is met', async () => (await kept()).length === 9);
    expect(await kept()).to.have.members(digests.slice(6));
  });

  it('F-08: what lies there goes before its row, so that nothing is left that nobody knows of', async () => {
    await using proxy = await S3Proxy.start(server.endpoint);
    await using bucket = await openBucket(server, {
      quota: roomFor(5, 3 * MIB),
      endpoint: proxy.url,
    });
    const rows: boolean[] = [];
    const gone: Digest[] = [];
    proxy.rule = {
      after: ({ verb, key }) => {
        if (verb !== 'delete') return;
        const digest = (/[0-9a-f]{64}/.exec(key)?.[0] ?? '') as Digest;
        rows.push(bucket.database.blob('far', digest) !== undefined);
        if (!key.endsWith('.blocks')) gone.push(digest);
      },
    };
    for (let seed = 1; seed <= 7; seed++) await put(bucket.backend, seed, 3 * MIB);
    await eventually('one row is gone', () => {
      const [first] = gone;
      return first !== undefined && bucket.database.blob('far', first) === undefined;
    });
    expect(rows).to.have.length.greaterThan(1);
    expect(rows).to.not.include(false);
    for (const digest of gone) {
      const objects = await Array.fromAsync(bucket.objects.all(bodyKey(digest), {}));
      expect(objects).to.deep.equal([]);
    }
  });

  it('puts and reads a body again that is just being evicted', async () => {
    await using proxy = await S3Proxy.start(server.endpoint);
    await using bucket = await openBucket(server, { quota: roomFor(5), endpoint: proxy.url });
    const { backend } = bucket;
    const held = Promise.withResolvers<void>();
    const leaving = Promise.withResolvers<Digest>();
    proxy.rule = {
      before: async ({ verb, key }) => {
        if (verb !== 'delete') return undefined;
        leaving.resolve(key.slice(-64) as Digest);
        await held.promise;
        return undefined;
      },
    };
    for (let seed = 1; seed <= 5; seed++) await put(backend, seed);
    const digest = await leaving.promise;
    expect(digest).to.equal(digestOf(seededBytes(SIZE, 1)));
    const opened = backend.open(digest);
    const again = put(backend, 1);
    proxy.rule = {};
    held.resolve();
    expect(await opened).to.equal(undefined);
    await again;
    expect((await contentOf(await backend.open(digest))).length).to.equal(SIZE);
    // Nobody took it for lost.
    expect(bucket.metrics.value('missing_blobs_total')).to.equal(0);
  });

  it('refuses a body that has no room twice before it is sent, and ends one that grows past it', async () => {
    await using proxy = await S3Proxy.start(server.endpoint);
    const quota = { ...WATERS, maxBytes: 40 * MIB };
    await using bucket = await openBucket(server, { quota, endpoint: proxy.url });
    const { backend, metrics } = bucket;
    expect(kindOf(await failureOf(put(backend, 1, 19 * MIB)))).to.equal('too-large');
    expect(proxy.calls).to.deep.equal([]);
    expect(metrics.value('quota_refused_total', 'larger')).to.equal(1);
    let parts = 0;
    proxy.rule = {
      after: ({ verb }) => {
        if (verb === 'part') parts++;
      },
    };
    const growing = new GrowingBody({ bytes: seededBytes(50 * MIB, 3) });
    let received = 20 * MIB;
    Object.defineProperty(growing, 'received', { get: () => received });
    const keeping = failureOf(backend.put(growing.grow(received)));
    await eventually('it is being sent', () => parts === 2);
    received = 50 * MIB;
    const refused = keeping.finally(() => clearInterval(timer));
    // Its reader only leaves when something comes.
    const timer = setInterval(() => growing.grow(1), 5);
    expect(kindOf(await refused)).to.equal('too-large');
    growing.cut();
    expect(await bucket.leftovers()).to.deep.equal([]);
    expect(await put(backend, 4)).to.be.a('string');
  });

  it('F-19: with 20 parallel writers the bucket never holds more than 1.02 times the quota', async () => {
    await using proxy = await S3Proxy.start(server.endpoint);
    const maxBytes = 30 * MIB;
    await using bucket = await openBucket(server, {
      quota: { ...WATERS, maxBytes },
      endpoint: proxy.url,
    });
    const there = new StoredBytes();
    proxy.rule = {
      before: (call) => there.begin(call),
      after: (call) => there.end(call),
    };
    let kept = 0;
    const writers = Array.from({ length: 20 }, async (_, writer) => {
      for (let round = 0; round < 4; round++) {
        const size = writer === 0 ? 9 * MIB : 400_000 + 40_000 * writer;
        await put(bucket.backend, `${writer}-${round}`, size).then(
          () => kept++,
          (error: unknown) => expect(kindOf(error)).to.equal('too-large'),
        );
      }
    });
    await Promise.all(writers);
    expect(kept).to.be.greaterThan(20);
    expect(bucket.metrics.value('evicted_total')).to.be.greaterThan(0);
    expect(proxy.count('copy')).to.be.greaterThan(0);
    expect(there.peak).to.be.within(0.8 * maxBytes, 1.02 * maxBytes);
  });
});

/** What lies in a bucket at most, as a proxy sees it: from before it is sent until it was removed. Bytes. */
class StoredBytes {
  peak = 0;
  readonly #objects = new Map<string, number>();

  begin({ verb, key, headers }: S3ProxyCall): undefined {
    const sent = Number(headers['x-amz-decoded-content-length'] ?? headers['content-length'] ?? 0);
    const [, ...source] = decodeURI(String(headers['x-amz-copy-source'] ?? '')).split('/');
    if (verb === 'put') this.#objects.set(key, sent);
    if (verb === 'part') this.#objects.set(key, (this.#objects.get(key) ?? 0) + sent);
    if (verb === 'copy') this.#objects.set(key, this.#objects.get(source.join('/')) ?? 0);
    this.peak = Math.max(
      this.peak,
      [...this.#objects.values()].reduce((sum, size) => sum + size, 0),
    );
  }

  end({ verb, key }: S3ProxyCall): void {
    if (verb === 'delete' || verb === 'abort') this.#objects.delete(key);
  }
}
