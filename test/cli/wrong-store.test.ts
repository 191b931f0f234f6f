import { expect } from 'chai';
import { request } from 'undici';
import { NodeProcess } from '../support/node-process.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { skipUnless } from '../support/skip.ts';

describe('a node whose S3 store is configured wrongly', function () {
  this.timeout(60_000);
  let server: S3Server;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
  });

  after(async () => await server?.stop());

  for (const [what, wrong, reason] of [
    ['bucket', { bucket: 'not-there' }, /bucket/i],
    ['secret key', { secretAccessKey: 'not the right one' }, /key|signature/i],
    ['access key', { accessKeyId: 'nobody' }, /key/i],
  ] as const) {
    it(`says that its ${what} is wrong, serves all the same, and is not ready`, async () => {
      const bucket = await server.createBucket();
      const settings = { ...server, bucket, ...wrong };
      await using node = await NodeProcess.start({
        config: {
          storage: {
            far: {
              type: 's3',
              endpoint: server.endpoint,
              region: server.region,
              bucket: settings.bucket,
              forcePathStyle: true,
              credentials: {
                accessKeyId: settings.accessKeyId,
                secretAccessKey: settings.secretAccessKey,
              },
            },
          },
          stashers: { keep: { type: 'store', backend: 'far' } },
          fetchers: { demo: { type: 'slow-server' } },
          rules: [{ name: 'demo', protocol: 'http', fetch: 'demo' }],
        },
      });
      const line = await node.logged(({ part }) => part === 'storage far');
      expect(line['problem']).to.match(reason);
      expect(JSON.stringify(node.log)).to.not.include('    at ');
      const page = await request(`${node.url}/size/1000`);
      expect((await page.body.arrayBuffer()).byteLength).to.equal(1000);
      const ready = await request(`${node.url}/_caje/readyz`);
      expect(ready.statusCode).to.equal(503);
      expect(await ready.body.text()).to.match(reason);
    });
  }
});
