import { open } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { kindOf, messageOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { processIdentity } from '../../src/process-identity.ts';
import { type Digest, digestOf } from '../../src/storage/digest.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { S3Backend, type S3BackendOptions } from '../../src/storage/s3-backend.ts';
import { S3Objects } from '../../src/storage/s3-objects.ts';
import { backendContract, contentOf, failureOf } from '../contract/backend.ts';
import { GrowingBody, incomingOf } from '../support/incoming.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const clock = new SystemClock();
const MIB = 1024 * 1024;
const NODE = 'caje-0123456789abcdef';
const PREFIX = 'some/prefix/';

interface Bucket extends AsyncDisposable {
  readonly folder: string;
  readonly metrics: Metrics;
  readonly objects: S3Objects;
  backend: S3Backend;
  database: NodeDatabase;
  /** Another backend on the same bucket with a node database of its own. */
  neighbour(options?: Partial<S3BackendOptions>): Promise<S3Backend>;
  reopen(): Promise<S3Backend>;
  leftovers(): Promise<string[]>;
  flip(key: string, offset: number): Promise<void>;
}

function bodyKey(digest: Digest): string {
  return `${PREFIX}sha256/${digest.slice(0, 2)}/${digest}`;
}

async function openBucket(server: S3Server, more: Partial<S3BackendOptions> = {}): Promise<Bucket> {
  const folder = await tempFolder();
  const bucket = await server.createBucket();
  const metrics = new Metrics();
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  const credentials = { accessKeyId, secretAccessKey };
  const location = { endpoint, region, bucket, forcePathStyle: true, credentials };
  const objects = new S3Objects(location, clock);
  const opened: AsyncDisposable[] = [];
  const start = async (file: string, options: Partial<S3BackendOptions>) => {
    const database = await NodeDatabase.open({
      path: join(folder.path, file),
      clock,
      log: silentLogger,
    });
    const common = {
      name: 'far',
      prefix: PREFIX,
      nodeId: NODE,
      database,
      clock,
      log: silentLogger,
      metrics,
    };
    const backend = new S3Backend({ ...location, ...common, ...more, ...options });
    opened.push(database, backend);
    return { database, backend };
  };
  const close = async (): Promise<void> => {
    for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
  };
  const self: Bucket = {
    folder: join(server.dataFolder, bucket),
    metrics,
    objects,
    ...(await start('node.db', {})),
    neighbour: async (options = {}) => (await start(`node-${opened.length}.db`, options)).backend,
    reopen: async () => {
      await close();
      Object.assign(self, await start('node.db', {}));
      return self.backend;
    },
    leftovers: async () => {
      const uploads = await objects.uploads('', {});
      const staged = await objects.page(`${PREFIX}staging/`, undefined, undefined, {});
      return [...uploads, ...staged.objects].map(({ key }) => key);
    },
    flip: async (key, offset) => {
      const file = await open(join(server.dataFolder, bucket, key), 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, offset);
      byte[0] = (byte[0] ?? 0) ^ 1;
      await file.write(byte, 0, 1, offset);
      await file.close();
    },
    [Symbol.asyncDispose]: async () => {
      await close();
      objects.destroy();
      await folder[Symbol.asyncDispose]();
    },
  };
  return self;
}

describe('S3 storage', function () {
  this.timeout(30_000);
  let server: S3Server;

  before(async function () {
    const reason = s3ServerMissing();
    if (reason !== undefined) {
      console.log(`    skipped: ${reason}`);
      this.skip();
    }
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

    it('removes what dead processes of this node left in the bucket, and nothing else (F-33)', async () => {
      await using bucket = await openBucket(server);
      const names = [
        `${NODE}.999999999-1`,
        `${NODE}.${processIdentity()}`,
        'caje-other.999999999-1',
      ];
      for (const name of names) {
        await bucket.objects.beginUpload(`${PREFIX}staging/${name}/a`, {});
        await bucket.objects.put(`${PREFIX}staging/${name}/b`, Buffer.from('x'), false, {});
      }
      expect(await bucket.backend.recover()).to.equal(2);
      const left = await bucket.leftovers();
      expect(left.length).to.equal(4);
      expect(
        left.filter((key) => key.includes('/caje-0123456789abcdef.999999999-1/')),
      ).to.deep.equal([]);
      expect(bucket.metrics.value('recovered_total')).to.equal(2);
    });

    it('finds every open upload over many pages', async () => {
      await using bucket = await openBucket(server);
      const count = 1010;
      for (let start = 0; start < count; start += 101) {
        const some = Array.from(
          { length: 101 },
          async (_, index) =>
            await bucket.objects.beginUpload(
              `${PREFIX}staging/${NODE}.999999999-1/${start + index}`,
              {},
            ),
        );
        await Promise.all(some);
      }
      expect((await bucket.objects.uploads(`${PREFIX}staging/`, {})).length).to.equal(count);
      expect(await bucket.backend.recover()).to.equal(count);
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
      expect(performance.now() - before).to.be.below(2000);
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
      const before = performance.now();
      expect((await bucket.backend.health()).problem).to.match(/does not answer/);
      expect(performance.now() - before).to.be.below(1500);
      own.resume();
    });
  });
});

describe('S3Backend on a store that misbehaves', () => {
  const limits = { connectMs: 300, idleMs: 300 };

  async function withStub(
    answer: (request: IncomingMessage, response: ServerResponse, body: Buffer) => void,
    use: (backend: S3Backend, requests: string[]) => Promise<void>,
  ): Promise<void> {
    const requests: string[] = [];
    const stub = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        requests.push(`${request.method} ${request.url}`);
        answer(request, response, Buffer.concat(chunks));
      });
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => stub.once('listening', resolve));
    await using folder = await tempFolder();
    await using database = await NodeDatabase.open({
      path: join(folder.path, 'node.db'),
      clock,
      log: silentLogger,
    });
    await using backend = new S3Backend({
      endpoint: `http://127.0.0.1:${(stub.address() as AddressInfo).port}`,
      region: 'us-east-1',
      bucket: 'stub',
      forcePathStyle: true,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      ...{
        name: 'far',
        nodeId: NODE,
        database,
        clock,
        log: silentLogger,
        metrics: new Metrics(),
        limits,
      },
    });
    try {
      await use(backend, requests);
    } finally {
      stub.closeAllConnections();
      stub.close();
    }
  }

  it('takes a completed upload that answers 200 with an error for failed, and aborts it (F-34)', async () => {
    await withStub(
      (request, response) => {
        const url = request.url ?? '';
        response.setHeader('content-type', 'application/xml');
        if (request.method === 'POST' && url.includes('uploads')) {
          return void response.end(
            '<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>',
          );
        }
        if (request.method === 'POST') {
          return void response.end(
            '<?xml version="1.0"?><Error><Code>InternalError</Code><Message>later</Message></Error>',
          );
        }
        if (request.method === 'PUT') response.setHeader('etag', '"e"');
        response.statusCode =
          request.method === 'HEAD' ? 404 : request.method === 'DELETE' ? 204 : 200;
        response.end();
      },
      async (backend, requests) => {
        const failure = await failureOf(backend.put(incomingOf(seededBytes(9 * MIB))));
        expect(kindOf(failure)).to.equal('unavailable');
        const last = requests.slice(-2);
        expect(last[0]).to.match(/^DELETE .*uploadId=u1/);
        expect(last[1]).to.match(/^DELETE .*\/staging\//);
        expect(requests.some((line) => line.startsWith('PUT /stub/sha256/'))).to.equal(false);
      },
    );
  });

  it('tries three times, then fails with "unavailable"', async () => {
    await withStub(
      (_, response) => void response.writeHead(503).end(),
      async (backend, requests) => {
        expect(kindOf(await failureOf(backend.put(incomingOf(Buffer.from('x')))))).to.equal(
          'unavailable',
        );
        expect(requests.length).to.equal(3);
      },
    );
  });

  it('takes a full store for unavailable to writes only', async () => {
    await withStub(
      (request, response) => void response.writeHead(request.method === 'PUT' ? 507 : 404).end(),
      async (backend) => {
        const failure = await failureOf(backend.put(incomingOf(Buffer.from('x'))));
        expect(messageOf(failure)).to.match(/full/);
        expect(await backend.stat(digestOf(Buffer.from('x')))).to.equal(undefined);
        expect((await backend.health()).problem).to.be.a('string');
      },
    );
  });

  it('takes up a read again that broke off in the middle', async () => {
    const bytes = seededBytes(3 * MIB);
    let reads = 0;
    await withStub(
      (request, response) => {
        const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '');
        if (request.method === 'HEAD')
          return void response.writeHead(200, { 'content-length': bytes.length }).end();
        if (request.method === 'PUT') return void response.writeHead(200, { etag: '"e"' }).end();
        if (range === null)
          return void response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
        const [start, end] = [Number(range[1]), Number(range[2])];
        const part = bytes.subarray(start, end + 1);
        response.writeHead(206, {
          'content-length': part.length,
          'content-range': `bytes ${start}-${end}/${bytes.length}`,
        });
        if (reads++ > 0) return void response.end(part);
        response.write(part.subarray(0, 1.5 * MIB), () => response.destroy());
      },
      async (backend) => {
        expect((await contentOf(await backend.open(digestOf(bytes)))).equals(bytes)).to.equal(true);
        expect(reads).to.equal(2);
      },
    );
  });

  it('ends within its limits when nothing comes (F-32)', async () => {
    await withStub(
      () => {},
      async (backend) => {
        const before = performance.now();
        expect(kindOf(await failureOf(backend.open(digestOf(Buffer.from('x')))))).to.equal(
          'unavailable',
        );
        expect(performance.now() - before).to.be.below(3 * limits.idleMs + 1000);
      },
    );
  });
});
