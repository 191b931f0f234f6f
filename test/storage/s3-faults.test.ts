import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { kindOf, messageOf } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { S3Backend } from '../../src/storage/s3-backend.ts';
import { contentOf, failureOf } from '../contract/backend-fixture.ts';
import { incomingOf } from '../support/incoming.ts';
import { patience } from '../support/patience.ts';
import { NODE } from '../support/s3-bucket.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const clock = new SystemClock();
const MIB = 1024 * 1024;

describe('S3Backend on a store that misbehaves', () => {
  const limits = { connectMs: 1500, answerMs: 1500, idleMs: 1500, copyMs: 1500 };

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
        expect(performance.now() - before).to.be.below(limits.answerMs + 1000 * patience());
      },
    );
  });
});
