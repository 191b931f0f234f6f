import { expect } from 'chai';
import { BLOCK_SIZE } from '../../src/body.ts';
import { lendBlock, recycle, takeBlock } from '../../src/storage/block-pool.ts';

describe('block pool', () => {
  it('gives a block again that was lent and came back', () => {
    const block = takeBlock(BLOCK_SIZE);
    lendBlock(block);
    recycle(block);
    expect(takeBlock(BLOCK_SIZE)).to.equal(block);
  });

  it('gives a block out once only, however often it comes back', () => {
    const block = takeBlock(BLOCK_SIZE);
    lendBlock(block);
    recycle(block);
    recycle(block);
    const next = [takeBlock(BLOCK_SIZE), takeBlock(BLOCK_SIZE)];
    expect(next.filter((one) => one === block).length).to.equal(1);
  });

  it('does not take what it did not lend: a block kept as bytes, a foreign buffer, a piece', () => {
    const kept = takeBlock(BLOCK_SIZE);
    const foreign = Buffer.alloc(BLOCK_SIZE);
    lendBlock(foreign);
    for (const buffer of [kept, foreign, kept.subarray(0, 10)]) recycle(buffer);
    const next = Array.from({ length: 20 }, () => takeBlock(BLOCK_SIZE));
    expect(next).not.to.include(kept);
    expect(next).not.to.include(foreign);
  });
});
