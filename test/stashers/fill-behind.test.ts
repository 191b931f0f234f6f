import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import { BLOCK_SIZE } from '../../src/body.ts';
import { SystemClock } from '../../src/clock.ts';
import { kindOf } from '../../src/errors.ts';
import type { Fetched } from '../../src/fetchers/fetcher.ts';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import { HeaderList } from '../../src/headers.ts';
import { sendBody } from '../../src/http/send-body.ts';
import { Metrics } from '../../src/metrics.ts';
import { BodyHash } from '../../src/stashers/body-hash.ts';
import { Fill, type FillOptions } from '../../src/stashers/fill.ts';
import { SpoolFolder } from '../../src/stashers/spool-folder.ts';
import type { Sealed } from '../../src/storage/backend.ts';
import { filesBelow } from '../support/audit-store.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const BODY = seededBytes(4 * BLOCK_SIZE + 5, 'behind');
const TRUE = sealedOf(BODY);
const OTHER = 'ab'.repeat(32);

function sealedOf(bytes: Buffer): Sealed {
  const hash = new BodyHash();
  hash.update(bytes);
  return hash.seal();
}

describe('Fill of a body whose blocks were checked', () => {
  let temp: TempFolder;
  let mismatches: string[];

  beforeEach(async () => {
    temp = await tempFolder();
    mismatches = [];
  });

  afterEach(async () => {
    await temp[Symbol.asyncDispose]();
  });

  function fill(
    promised: string,
    body = Readable.from([BODY.subarray(0, 3_000_000), BODY.subarray(3_000_000)]),
    options: Partial<FillOptions> = {},
  ): Fill {
    const fetched: Fetched = {
      status: 200,
      headers: new HeaderList([['Content-Length', String(BODY.length)]]),
      body,
      source: 'test',
      checkedBlocks: TRUE.blocks,
      promisedDigest: Promise.resolve(promised),
    };
    return new Fill(fetched, {
      folder: new SpoolFolder(temp.path, 100 * BLOCK_SIZE),
      metrics: new Metrics(),
      maxBytes: 100 * BLOCK_SIZE,
      onMismatch: (kind) => mismatches.push(kind),
      ...options,
    });
  }

  async function kindOfFailure(promise: Promise<unknown>): Promise<string> {
    return await promise.then(() => 'none', kindOf);
  }

  it('is sealed with its digest and the digests of its blocks', async () => {
    const one = fill(TRUE.digest);
    expect((await buffer(one.openForClient())).equals(BODY)).to.equal(true);
    expect(await one.sealed).to.deep.equal(TRUE);
    expect(await one.sealedDigest).to.equal(TRUE.digest);
    one.release();
  });

  it('F-28: is cut before its last byte where the whole has another digest than was promised', async () => {
    const one = fill(OTHER);
    expect(await kindOfFailure(buffer(one.openForClient()))).to.equal('integrity');
    expect(await kindOfFailure(one.sealed)).to.equal('integrity');
    expect(await one.sealedDigest).to.equal(undefined);
    expect([mismatches, one.joinable]).to.deep.equal([['promised'], false]);
    one.release();
  });

  it('is held back for its digest where that is pinned', async () => {
    const one = fill(TRUE.digest, undefined, { pinned: OTHER });
    expect(await kindOfFailure(buffer(one.openForClient()))).to.equal('integrity');
    expect(mismatches).to.deep.equal(['pinned']);
  });

  it('accuses nobody when the spool is full, and leaves no file', async () => {
    const folder = new SpoolFolder(temp.path, 3_500_000);
    const one = fill(TRUE.digest, undefined, { folder });
    expect((await buffer(one.openForClient())).equals(BODY)).to.equal(true);
    expect(await kindOfFailure(one.sealed)).to.equal('unavailable');
    expect(await one.sealedDigest).to.equal(undefined);
    expect(mismatches).to.deep.equal([]);
    one.release();
    while ((await filesBelow(temp.path)).length > 0) await new Promise(setImmediate);
  });

  it('leaves no file when it is cut', async () => {
    const body = new Readable({ read() {} });
    body.push(BODY.subarray(0, 2_000_000));
    const one = fill(TRUE.digest, body);
    const client = one.openForClient();
    client.on('error', () => {});
    await once(client, 'readable');
    while ((await filesBelow(temp.path)).length === 0) await new Promise(setImmediate);
    body.destroy();
    expect(await kindOfFailure(one.sealed)).to.equal('upstream');
    while ((await filesBelow(temp.path)).length > 0) await new Promise(setImmediate);
  });

  it('a digest that cannot be computed is a body that is not kept, and the next one is', async () => {
    const folder = new SpoolFolder(temp.path, 100 * BLOCK_SIZE);
    const body = new Readable({ read() {} });
    const one = fill(TRUE.digest, body, { folder });
    body.push(BODY.subarray(0, 2_000_000));
    while ((await filesBelow(temp.path)).length === 0) await new Promise(setImmediate);
    await folder.digests[Symbol.asyncDispose]();
    body.push(BODY.subarray(2_000_000));
    body.push(null);
    expect((await buffer(one.openForClient())).equals(BODY)).to.equal(true);
    expect(await kindOfFailure(one.sealed)).to.equal('unavailable');
    const next = fill(TRUE.digest, undefined, { folder });
    expect((await next.sealed).digest).to.equal(TRUE.digest);
    for (const each of [one, next]) each.release();
  });
});

describe('memory of large bodies on their way', () => {
  it('is used again without any client seeing it, however slowly it reads', async () => {
    await using temp = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const bodies = [1, 2].map((seed) => seededBytes(8 * BLOCK_SIZE + seed, `memory-${seed}`));
    const listen = async (server: ReturnType<typeof createServer>): Promise<string> => {
      await once(server.listen(0, '127.0.0.1'), 'listening');
      stack.defer(() => {
        server.closeAllConnections();
        server.close();
      });
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    };
    const origin = await listen(
      createServer((request, response) => {
        const body = bodies[Number(request.url?.slice(1))] ?? Buffer.alloc(0);
        response.writeHead(200, { 'Content-Length': body.length });
        response.end(body);
      }),
    );
    const fetcher = stack.use(
      new OriginFetcher({
        name: 'origin',
        url: new URL(origin),
        clock: new SystemClock(),
        metrics: new Metrics(),
      }),
    );
    const folder = new SpoolFolder(temp.path, 100 * BLOCK_SIZE);
    for (const [index, bytes] of bodies.entries()) {
      const path = `/${index}`;
      const fetched = await fetcher.fetch({
        method: 'GET',
        path,
        publicUrl: `${origin}${path}`,
        headers: HeaderList.empty,
      });
      const fill = new Fill(fetched, { folder, metrics: new Metrics(), maxBytes: 1e9 });
      const release = fill.hold();
      const edge = await listen(
        createServer((_request, response) => {
          sendBody(fill.openForClient(), response).catch(() => response.destroy());
        }),
      );
      const read = async (isSlow: boolean): Promise<Buffer> => {
        const { body } = await fetch(edge);
        const pieces: Buffer[] = [];
        await pipeline(body as unknown as Readable, async (source: AsyncIterable<Uint8Array>) => {
          for await (const piece of source) {
            pieces.push(Buffer.from(piece));
            if (isSlow && pieces.length % 16 === 0) await new Promise(setImmediate);
          }
        });
        return Buffer.concat(pieces);
      };
      const got = await Promise.all([read(false), read(true), read(false)]);
      release();
      for (const one of got) expect(one.equals(bytes)).to.equal(true);
      expect((await fill.sealed).digest).to.equal(sealedOf(bytes).digest);
      fill.release();
    }
  });
});
