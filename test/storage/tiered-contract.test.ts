import { backendContract } from '../contract/backend.ts';
import { bodyKey, openBucket } from '../support/s3-bucket.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { skipUnless } from '../support/skip.ts';
import { openTiered } from './tiered-place.ts';

// A damaged body is damaged in both: each notices it once it is asked, the near one first.
backendContract('tiered, disk before disk', async () => {
  const place = await openTiered();
  return {
    backend: place.tiered,
    reopen: async () => await place.reopen(),
    leftovers: async () => await place.leftovers(),
    flip: async (digest, offset) => {
      await place.flip('near', digest, offset);
      await place.flip('far', digest, offset);
    },
    corruptions: () => place.nearMetrics.value('corrupt_blobs_total'),
    dispose: async () => await place[Symbol.asyncDispose](),
  };
});

describe('tiered storage before S3', function () {
  this.timeout(30_000);
  let server: S3Server;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
  });

  after(async () => await server?.stop());

  backendContract('tiered, disk before S3', async () => {
    const bucket = await openBucket(server);
    const place = await openTiered({ makeFar: () => bucket.backend });
    return {
      backend: place.tiered,
      reopen: async () => {
        await bucket.reopen();
        return await place.reopen();
      },
      leftovers: async () => [...(await place.leftovers()), ...(await bucket.leftovers())],
      flip: async (digest, offset) => {
        await place.flip('near', digest, offset);
        await bucket.flip(bodyKey(digest), offset);
      },
      corruptions: () => place.nearMetrics.value('corrupt_blobs_total'),
      dispose: async () => {
        await place[Symbol.asyncDispose]();
        await bucket[Symbol.asyncDispose]();
      },
    };
  });
});
