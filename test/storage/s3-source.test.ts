import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { BLOCK_SIZE } from '../../src/body.ts';
import { SystemClock } from '../../src/clock.ts';
import { S3Connection } from '../../src/storage/s3-connection.ts';
import { S3Objects } from '../../src/storage/s3-objects.ts';
import { ReadAhead } from '../../src/storage/s3-read-ahead.ts';
import { S3Source } from '../../src/storage/s3-source.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

const BLOCKS = 41;
const BODY = seededBytes((BLOCKS - 1) * BLOCK_SIZE + 5, 's3-source');

/** A request for a part of the body, in blocks. */
interface Asked {
  readonly first: number;
  readonly last: number;
  readonly response: ServerResponse;
}

describe('S3Source', () => {
  /** Reads from a store that has one object. `meet` may see to a request itself. */
  async function reading(
    readAhead: number,
    use: (source: S3Source, asked: readonly Asked[]) => Promise<void>,
    meet: (asked: Asked, number: number) => boolean = () => false,
  ): Promise<void> {
    const asked: Asked[] = [];
    const server = createServer((request, response) => {
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(String(request.headers.range)) ?? [];
      const [start, end] = [Number(from), Number(to)];
      const one = {
        first: start / BLOCK_SIZE,
        last: Math.floor(end / BLOCK_SIZE),
        response,
      };
      asked.push(one);
      if (meet(one, asked.length)) return;
      const range = `bytes ${start}-${end}/${BODY.length}`;
      response.writeHead(206, { 'content-range': range, 'content-length': end - start + 1 });
      response.end(BODY.subarray(start, end + 1));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const connection = new S3Connection(
      {
        endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        region: 'us-east-1',
        bucket: 'stub',
        forcePathStyle: true,
        credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      },
      new SystemClock(),
    );
    const source = new S3Source(new S3Objects(connection), {
      ...{ key: 'body', size: BODY.length, start: 0, end: BODY.length - 1 },
      ...{ ahead: new ReadAhead(readAhead), idleMs: 30_000 },
    });
    try {
      await use(source, asked);
    } finally {
      await source.close();
      connection.destroy();
      server.closeAllConnections();
      server.close();
    }
  }

  async function readBlock(source: S3Source, index: number): Promise<void> {
    const expected = BODY.subarray(index * BLOCK_SIZE, (index + 1) * BLOCK_SIZE);
    const block = await source.read(index, expected.length);
    expect(block.equals(expected), `block ${index}`).to.equal(true);
  }

  async function until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  for (const [name, room] of [
    ['without room to read ahead', 0],
    ['with room to read ahead', 32 * BLOCK_SIZE],
  ] as const) {
    it(`asks for each block once, ${name}`, async () => {
      await reading(room, async (source, asked) => {
        for (let index = 0; index < BLOCKS; index++) await readBlock(source, index);
        const all = asked
          .toSorted((a, b) => a.first - b.first)
          .flatMap(({ first, last }) =>
            Array.from({ length: last - first + 1 }, (_, at) => first + at),
          );
        expect(all).to.eql([...Array(BLOCKS).keys()]);
      });
    });
  }

  it('asks for more with each request where nothing is read ahead', async () => {
    await reading(0, async (source, asked) => {
      for (let index = 0; index < BLOCKS; index++) await readBlock(source, index);
      expect(asked[0]?.last).to.equal(3);
      // A store that is slow for a while makes them shorter again, but never as short as the first.
      expect(asked.length).to.be.within(3, 6);
    });
  });

  it('asks for what follows before it needs it', async () => {
    await reading(0, async (source, asked) => {
      for (const index of [0, 1, 2]) await readBlock(source, index);
      await until(() => asked.length > 1);
      expect(asked[1]?.first).to.equal(4);
    });
  });

  it('gives up what it asked for and nobody read', async () => {
    await reading(0, async (source, asked) => {
      for (const index of [0, 1, 2]) await readBlock(source, index);
      await until(() => asked.length > 1);
      await source.close();
      await until(() => asked.every(({ response }) => response.destroyed));
      expect(asked).to.have.length(2);
    });
  });

  it('asks again where what it asked for early breaks off unread', async () => {
    const cut = (one: Asked, number: number): boolean => {
      if (number !== 2) return false;
      one.response.writeHead(206, {
        'content-range': `bytes ${one.first * BLOCK_SIZE}-${(one.last + 1) * BLOCK_SIZE - 1}/${BODY.length}`,
        'content-length': (one.last - one.first + 1) * BLOCK_SIZE,
      });
      one.response.write('some', () => one.response.destroy());
      return true;
    };
    await reading(
      0,
      async (source, asked) => {
        for (const index of [0, 1, 2]) await readBlock(source, index);
        await until(() => asked[1]?.response.destroyed === true);
        for (const index of [3, 4, 5]) await readBlock(source, index);
        expect(asked[2]?.first).to.equal(4);
      },
      cut,
    );
  });
});
