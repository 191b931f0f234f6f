import { expect } from 'chai';
import { humanSize, humanSpan, plain } from '../../src/cli/terminal.ts';

describe('what people read', () => {
  for (const [bytes, shown] of [
    [0, '0 B'],
    [1_023, '1023 B'],
    [1_024, '1.0 KiB'],
    [1.5 * 1024 ** 2, '1.5 MiB'],
    [20 * 1024 ** 3, '20.0 GiB'],
    [2_048 * 1024 ** 4, '2048.0 TiB'],
  ] as const) {
    it(`shows ${bytes} bytes as ${shown}`, () => {
      expect(humanSize(bytes)).to.equal(shown);
    });
  }

  for (const [seconds, shown] of [
    [0, '0s'],
    [59, '59s'],
    [3_600, '1h'],
    [7_505, '2h 5m'],
    [90_061, '1d 1h'],
    [-65, '-1m 5s'],
    [400 * 365 * 86_400, 'for ever'],
  ] as const) {
    it(`shows ${seconds} seconds as ${shown}`, () => {
      expect(humanSpan(seconds)).to.equal(shown);
    });
  }

  it('lets nothing steer the terminal, and keeps what is only foreign', () => {
    expect(plain('/a\u001b[2Jb\u009b1m\u0007é日')).to.equal('/a\ufffd[2Jb\ufffd1m\ufffdé日');
  });
});
