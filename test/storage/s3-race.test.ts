import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { digestOf } from '../../src/storage/digest.ts';
import { contentOf } from '../contract/backend-fixture.ts';
import { bodyKey, openBucket } from '../support/s3-bucket.ts';
import type { S3PutOptions } from '../support/s3-put-process.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';

const PROGRAM = fileURLToPath(new URL('../support/s3-put-process.ts', import.meta.url));
const PROCESSES = 8;
const MIB = 1024 * 1024;
/** As one object, and in parts with block digests. */
const SIZES = [1000, 9 * MIB];

describe('processes that race for a digest in S3', function () {
  this.timeout(60_000);
  let server: S3Server;

  before(async function () {
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    server = await startS3Server();
  });

  after(async () => await server?.stop());

  it('all succeed, and there is one object', async () => {
    await using bucket = await openBucket(server, { prefix: '' });
    const { endpoint, region, accessKeyId, secretAccessKey } = server;
    const racers = Array.from({ length: PROCESSES }, (_, number) =>
      racer({
        ...{ endpoint, region, accessKeyId, secretAccessKey, sizes: SIZES },
        bucket: bucket.name,
        nodeId: `caje-000000000000000${number}`,
      }),
    );
    try {
      await Promise.all(racers.map(async ({ ready }) => await ready));
      for (const { child } of racers) child.stdin?.write('go\n');
      const said = await Promise.all(racers.map(async ({ done }) => await done));
      const digests = SIZES.map((size) => digestOf(seededBytes(size)));
      expect(said).to.deep.equal(racers.map(() => digests.join(' ')));
      const keys = (await Array.fromAsync(bucket.objects.all('', {}))).map(({ key }) => key);
      const bodies = digests.map((digest) => bodyKey(digest, ''));
      const blocks = bodies.slice(1).map((key) => `${key}.blocks`);
      expect(keys).to.have.members([...bodies, ...blocks]);
      expect(await bucket.uploads.list('', {})).to.deep.equal([]);
      for (const [index, digest] of digests.entries()) {
        const bytes = await contentOf(await bucket.backend.open(digest));
        expect(bytes.equals(seededBytes(SIZES[index] ?? 0))).to.equal(true);
      }
    } finally {
      for (const { child } of racers) child.kill('SIGKILL');
    }
  });
});

interface Racer {
  readonly child: ChildProcess;
  readonly ready: Promise<unknown>;
  /** Its last line, once it has ended. */
  readonly done: Promise<string>;
}

function racer(options: S3PutOptions): Racer {
  const child = spawn(
    process.execPath,
    ['--conditions=caje-source', PROGRAM, JSON.stringify(options)],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const lines = createInterface(child.stdout);
  let last = '';
  lines.on('line', (line) => {
    last = line;
  });
  const closed = once(child, 'close');
  return {
    child,
    ready: Promise.race([once(lines, 'line'), closed]),
    done: closed.then(() => last),
  };
}
