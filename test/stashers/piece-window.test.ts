import { expect } from 'chai';
import { PieceWindow } from '../../src/stashers/piece-window.ts';
import { recycle } from '../../src/storage/block-pool.ts';
import { giveBack, takeReadBuffer } from '../../src/young-memory.ts';

const FIRST = Buffer.from('first');

/** A window with a first piece and one that is all of a read buffer, which is given too. */
function filled(isGivenBack = true): { window: PieceWindow; memory: ArrayBufferLike } {
  const window = new PieceWindow(isGivenBack);
  const bytes = takeReadBuffer();
  window.push(FIRST);
  window.push(bytes);
  return { window, memory: bytes.buffer };
}

/** Whether this memory is used again. It is taken out of use then. */
function isFree(memory: ArrayBufferLike): boolean {
  for (let taken = 0; taken < 64; taken++) if (takeReadBuffer().buffer === memory) return true;
  return false;
}

describe('PieceWindow', () => {
  it('gives memory back once it left the window and no reader has it', () => {
    const { window, memory } = filled();
    const parts = [0, 1].map(() => window.at(FIRST.length, window.end) as Buffer);
    recycle(parts[0] as Buffer);
    window.dropBefore(window.end, false);
    expect(isFree(memory)).to.equal(false);
    recycle(parts[0] as Buffer);
    expect(isFree(memory)).to.equal(false);
    recycle(parts[1] as Buffer);
    expect(isFree(memory)).to.equal(true);
  });

  it('keeps memory that readers gave back as long as it is in the window', () => {
    const { window, memory } = filled();
    recycle(window.at(FIRST.length, window.end) as Buffer);
    window.dropBefore(window.end, true);
    expect(isFree(memory)).to.equal(false);
    window.dropBefore(window.end, false);
    expect(isFree(memory)).to.equal(true);
  });

  it('gives nothing back that others keep, nor the first piece', () => {
    const others = filled(false);
    others.window.dropBefore(others.window.end, false);
    expect(isFree(others.memory)).to.equal(false);
    const first = takeReadBuffer();
    const window = new PieceWindow(true);
    window.push(first);
    window.dropBefore(window.end, false);
    expect(isFree(first.buffer)).to.equal(false);
  });

  it('a read buffer is used again when all of it was given back, and once only', () => {
    const bytes = takeReadBuffer();
    giveBack(bytes.subarray(0, 100));
    expect(isFree(bytes.buffer)).to.equal(false);
    giveBack(bytes.subarray(100));
    giveBack(bytes.subarray(100));
    expect(isFree(bytes.buffer)).to.equal(true);
    expect(isFree(bytes.buffer)).to.equal(false);
  });
});
