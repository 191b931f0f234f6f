import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { BLOCK_SIZE } from '../../src/body.ts';
import { kindOf, ProxyError } from '../../src/errors.ts';
import { checkedBlocks } from '../../src/fetchers/checked-blocks.ts';
import { BodyHash } from '../../src/stashers/body-hash.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

const SIZE = 3 * BLOCK_SIZE + 1000;
const bytes = seededBytes(SIZE, 'blocks');
const blocks = blocksOf(bytes);

function blocksOf(body: Buffer): Buffer {
  const hash = new BodyHash();
  hash.update(body);
  return hash.seal().blocks;
}

/** The body in pieces, with a bit of the byte at this offset changed. */
function sent(damagedAt?: number, pieceSize = 50_000): Readable {
  const copy = Buffer.from(bytes);
  if (damagedAt !== undefined) copy.writeUInt8((copy[damagedAt] ?? 0) ^ 1, damagedAt);
  const pieces: Buffer[] = [];
  for (let at = 0; at < copy.length; at += pieceSize)
    pieces.push(copy.subarray(at, at + pieceSize));
  return Readable.from(pieces, { objectMode: false });
}

interface Received {
  readonly got: Buffer;
  readonly error: unknown;
  readonly differing: readonly number[];
}

async function receive(body: Readable, promised: Buffer = blocks): Promise<Received> {
  const differing: number[] = [];
  const pieces: Buffer[] = [];
  try {
    const checked = await checkedBlocks(body, {
      blocks: promised,
      from: 'peer x',
      differs: (block) => differing.push(block),
    });
    for await (const piece of checked) pieces.push(piece as Buffer);
    return { got: Buffer.concat(pieces), error: undefined, differing };
  } catch (error) {
    return { got: Buffer.concat(pieces), error, differing };
  }
}

describe('checkedBlocks', () => {
  for (const pieceSize of [1, 1000, 50_000, 2 * BLOCK_SIZE]) {
    it(`gives the same bytes whatever pieces of ${pieceSize} they come in`, async () => {
      const small = pieceSize === 1;
      const body = small ? bytes.subarray(0, 2000) : bytes;
      const from = small
        ? Readable.from([...body].map((one) => Buffer.of(one)))
        : sent(undefined, pieceSize);
      const { got, error } = await receive(from, blocksOf(body));
      expect(error).to.equal(undefined);
      expect(got.equals(body)).to.equal(true);
    });
  }

  for (const block of [0, 1, 2, 3]) {
    it(`F-28: hands on nothing of a damaged block ${block}, and all before it`, async () => {
      const { got, error, differing } = await receive(sent(block * BLOCK_SIZE + 7));
      expect(kindOf(error)).to.equal('integrity');
      expect(got.length).to.equal(block * BLOCK_SIZE);
      expect(got.equals(bytes.subarray(0, got.length))).to.equal(true);
      expect(differing).to.deep.equal([block]);
    });
  }

  it('notices damage at its block, long before the end', async () => {
    const stopped = new Readable({ read() {} });
    stopped.push(seededBytes(BLOCK_SIZE, 'others'));
    const { error } = await receive(stopped);
    expect(kindOf(error)).to.equal('integrity');
    expect(stopped.destroyed).to.equal(true);
  });

  it('rejects with the failure of a body that is cut in its first block', async () => {
    const cut = new Readable({ read() {} });
    cut.push(bytes.subarray(0, 1000));
    setImmediate(() => cut.destroy(new ProxyError('upstream', 'test', 'cut')));
    const { error, differing } = await receive(cut);
    expect([kindOf(error), differing]).to.deep.equal(['upstream', []]);
  });

  it('lets what is behind the digests pass as it comes', async () => {
    const { got, error } = await receive(sent(SIZE - 1), blocks.subarray(0, 32));
    expect(error).to.equal(undefined);
    expect(got.length).to.equal(SIZE);
  });

  it('closes the connection when the reader goes away', async () => {
    const endless = new Readable({ read() {} });
    endless.push(bytes.subarray(0, BLOCK_SIZE));
    const checked = await checkedBlocks(endless, { blocks, from: 'peer x', differs: () => {} });
    checked.destroy();
    await new Promise((resolve) => endless.once('close', resolve));
    expect(endless.destroyed).to.equal(true);
  });

  it('gives an empty body', async () => {
    const empty = await checkedBlocks(Readable.from([]), { blocks, from: 'x', differs: () => {} });
    expect((await buffer(empty)).length).to.equal(0);
  });
});
