import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import type { Digest } from '../../src/storage/digest.ts';
import { failureOf } from '../contract/backend-fixture.ts';
import { incomingOf } from '../support/incoming.ts';
import { bodyKey, openBucket, type TestBucket } from '../support/s3-bucket.ts';
import { S3Proxy } from '../support/s3-proxy.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';

const MIB = 1024 * 1024;

describe('what a node put into a bucket', function () {
  this.timeout(30_000);
  let server: S3Server;
  let proxy: S3Proxy;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
    proxy = await S3Proxy.start(server.endpoint);
  });

  afterEach(() => {
    if (proxy !== undefined) proxy.rule = {};
  });

  after(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  const own = async ({ backend }: TestBucket): Promise<Digest[]> =>
    (await Array.fromAsync(backend.listOwn())).map(({ digest }) => digest);

  it('stays its own where it put the same body several times at once', async () => {
    await using bucket = await openBucket(server);
    for (const size of [1000, 9 * MIB]) {
      const bytes = seededBytes(size);
      const puts = Array.from({ length: 3 }, () => bucket.backend.put(incomingOf(bytes)));
      const [first] = await Promise.all(puts);
      expect(await own(bucket)).to.deep.equal([first?.digest]);
      await bucket.backend.delete(first?.digest as Digest);
    }
  });

  for (const failing of ['body', 'blocks'] as const) {
    it(`stays on record when its ${failing} cannot be removed, so that it is removed later`, async () => {
      await using bucket = await openBucket(server, { endpoint: proxy.url });
      const { digest } = await bucket.backend.put(incomingOf(seededBytes(2 * MIB)));
      const isHit = (key: string): boolean => key.endsWith('.blocks') === (failing === 'blocks');
      proxy.rule = {
        before: ({ verb, key }) =>
          verb === 'delete' && isHit(key) ? { status: 403, code: 'AccessDenied' } : undefined,
      };
      expect(kindOf(await failureOf(bucket.backend.delete(digest)))).to.equal('unavailable');
      expect(await own(bucket)).to.deep.equal([digest]);
      proxy.rule = {};
      while ((await bucket.backend.health()).problem !== undefined)
        await new Promise((resolve) => setTimeout(resolve, 50));
      await bucket.backend.delete(digest);
      expect(await own(bucket)).to.deep.equal([]);
      for (const key of [bodyKey(digest), `${bodyKey(digest)}.blocks`])
        expect(await bucket.objects.head(key, {})).to.equal(undefined);
    });
  }
});
