import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { digestOf } from '../../src/storage/digest.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { S3Backend } from '../../src/storage/s3-backend.ts';
import { incomingOf } from '../support/incoming.ts';
import { NODE, openBucket } from '../support/s3-bucket.ts';
import { s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { skipUnless } from '../support/skip.ts';
import { tempFolder } from '../support/temp-folder.ts';

const clock = new SystemClock();
/** More than lies in the buffers of a connection, so that it is still being sent when the answer comes. */
const BODY = seededBytes(8 * 1024 * 1024);

/** A store that breaks puts of bodies off in its own way. */
class EarlyStore implements AsyncDisposable {
  puts = 0;
  heads = 0;
  /** When the body came there. Absent: it is not there. */
  modifiedAt: number | undefined;
  /** Which put it came by. */
  putId: string | undefined;
  /** Absent: a put is carried out and answered. */
  onPut: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  readonly #server = createServer((request, response) => this.#answer(request, response));

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await new Promise((resolve) => this.#server.once('listening', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Carries a put out. */
  take(request: IncomingMessage, then: () => void): void {
    request.resume();
    request.on('end', () => {
      this.modifiedAt = Date.now();
      this.putId = String(request.headers['x-amz-meta-caje-put']);
      then();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method, url = '' } = request;
    if (url.includes('.blocks')) {
      request.resume();
      request.on('end', () => response.writeHead(200, { etag: '"e"' }).end());
      return;
    }
    if (method === 'HEAD') {
      this.heads++;
      const { modifiedAt } = this;
      if (modifiedAt === undefined) return void response.writeHead(404).end();
      const found = {
        'content-length': BODY.length,
        'last-modified': new Date(modifiedAt).toUTCString(),
        ...(this.putId !== undefined && { 'x-amz-meta-caje-put': this.putId }),
      };
      return void response.writeHead(200, found).end();
    }
    this.puts++;
    if (this.onPut !== undefined) this.onPut(request, response);
    else this.take(request, () => response.writeHead(200, { etag: '"e"' }).end());
  }
}

/** Answers that it is there, without having read the body, and closes. */
function refuseEarly(request: IncomingMessage, response: ServerResponse): void {
  request.pause();
  const document = '<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>';
  response.writeHead(412, { connection: 'close', 'content-type': 'application/xml' });
  response.end(document, () => request.socket.destroy());
}

/** The same, where the answer is lost with the connection. */
function reset(request: IncomingMessage): void {
  request.socket.resetAndDestroy();
}

describe('a body that a store has already', () => {
  async function withStore(
    use: (store: EarlyStore, backend: S3Backend, database: NodeDatabase) => Promise<void>,
  ): Promise<void> {
    await using store = new EarlyStore();
    await using folder = await tempFolder();
    const path = join(folder.path, 'node.db');
    await using database = await NodeDatabase.open({ path, clock, log: silentLogger });
    await using backend = new S3Backend({
      ...{ endpoint: await store.start(), region: 'us-east-1', bucket: 'early' },
      ...{ forcePathStyle: true, credentials: { accessKeyId: 'a', secretAccessKey: 's' } },
      ...{ name: 'far', nodeId: NODE, database, clock, log: silentLogger, metrics: new Metrics() },
    });
    await use(store, backend, database);
  }

  const placeIn = (database: NodeDatabase): number | undefined =>
    database.blob('far', digestOf(BODY))?.place;

  for (const [how, onPut] of [
    ['says so early and closes', refuseEarly],
    ['resets the connection', reset],
  ] as const) {
    it(`is put, once, and stays the other node's, where the store ${how}`, async () => {
      await withStore(async (store, backend, database) => {
        store.modifiedAt = Date.now();
        store.putId = 'of-another';
        store.onPut = onPut;
        await backend.put(incomingOf(BODY));
        expect(store.puts).to.equal(1);
        expect(store.heads).to.be.at.most(1);
        expect(placeIn(database)).to.equal(-1);
        // The store is not taken for one that fails.
        expect((await backend.stat(digestOf(BODY)))?.size).to.equal(BODY.length);
      });
    });
  }

  it('is this node’s where it was carried out and only the answer was lost', async () => {
    await withStore(async (store, backend, database) => {
      store.onPut = (request) => store.take(request, () => reset(request));
      await backend.put(incomingOf(BODY));
      expect([store.puts, store.heads]).to.deep.equal([1, 1]);
      expect(placeIn(database)).to.equal(0);
    });
  });

  for (const [whose, putId, place] of [
    ['this node’s where a try that failed was', undefined, 0],
    ['the other node’s where that one came between two tries', 'of-another', -1],
  ] as const) {
    it(`is ${whose}`, async () => {
      await withStore(async (store, backend, database) => {
        store.onPut = (request, response) =>
          store.take(request, () => {
            store.putId = putId ?? store.putId;
            response.writeHead(store.puts === 1 ? 503 : 412).end();
          });
        await backend.put(incomingOf(BODY));
        expect([store.puts, store.heads]).to.deep.equal([2, 1]);
        expect(placeIn(database)).to.equal(place);
      });
    });
  }

  it('is sent again where it is not there after all', async () => {
    await withStore(async (store, backend, database) => {
      store.onPut = (request) => {
        store.onPut = undefined;
        reset(request);
      };
      await backend.put(incomingOf(BODY));
      expect([store.puts, store.heads]).to.deep.equal([2, 1]);
      expect(placeIn(database)).to.equal(0);
    });
  });

  it('is put by a second node on a real store, however often', async function () {
    this.timeout(30_000);
    skipUnless(this, s3ServerMissing() === undefined, s3ServerMissing() ?? '');
    await using server = { ...(await startS3Server()), [Symbol.asyncDispose]: async () => {} };
    try {
      await using bucket = await openBucket(server);
      for (const seed of [1, 2, 3, 4]) {
        const bytes = seededBytes(BODY.length, seed);
        await bucket.backend.put(incomingOf(bytes));
        const others = [await bucket.neighbour(), await bucket.neighbour()];
        await Promise.all(others.map(async (other) => await other.put(incomingOf(bytes))));
        for (const other of others) {
          expect(await Array.fromAsync(other.listOwn())).to.deep.equal([]);
          expect(await other.health()).to.deep.equal({});
        }
      }
    } finally {
      await server.stop();
    }
  });
});
