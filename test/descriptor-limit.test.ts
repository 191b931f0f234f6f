import { expect } from 'chai';
import { connectionLimit } from '../src/descriptor-limit.ts';

const HEAD = 'Limit                     Soft Limit           Hard Limit           Units     \n';

describe('connectionLimit', () => {
  it('is 80 % of the descriptors where that is less than configured', () => {
    const limits = `${HEAD}Max open files            1024                 4096                 files     \n`;
    expect(connectionLimit(10_000, limits)).to.equal(819);
    expect(connectionLimit(100, limits)).to.equal(100);
  });

  it('is what is configured where nothing bounds descriptors, or nobody says', () => {
    const unlimited = `${HEAD}Max open files            unlimited            unlimited            files     \n`;
    expect(connectionLimit(10_000, unlimited)).to.equal(10_000);
    expect(connectionLimit(10_000, '')).to.equal(10_000);
  });

  it('reads the limits of this process', () => {
    expect(connectionLimit(10)).to.equal(10);
    expect(connectionLimit(Number.MAX_SAFE_INTEGER)).to.be.greaterThan(0);
  });
});
