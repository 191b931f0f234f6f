import { backendContract } from '../contract/backend.ts';
import { bodyKey, openBucket } from '../support/s3-bucket.ts';
import { namedS3Server } from '../support/s3-named.ts';

const server = namedS3Server();

// Another make of server than the tests' own is tried where one is named; there is nothing to skip where none is.
if (server !== undefined) {
  describe(`S3 storage on ${server.endpoint}`, function () {
    this.timeout(60_000);

    after(async () => await server.stop());

    for (const checksums of ['supported', 'required'] as const) {
      backendContract(`s3, checksums ${checksums}`, async () => {
        const bucket = await openBucket(server, { checksums });
        return {
          backend: bucket.backend,
          reopen: async () => await bucket.reopen(),
          leftovers: async () => await bucket.leftovers(),
          flip: async (digest, offset) => await server.flip(bucket.name, bodyKey(digest), offset),
          corruptions: () => bucket.metrics.value('corrupt_blobs_total'),
          dispose: async () => await bucket[Symbol.asyncDispose](),
        };
      });
    }
  });
}
