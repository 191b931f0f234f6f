import { expect } from 'chai';
import { loadRows } from './soak/soak-row.ts';
import { Random } from './support/random.ts';
import { skipUnless } from './support/skip.ts';

const QUICK_MS = 120_000;

const rows = await loadRows();

describe('faults', () => {
  for (const row of rows) {
    it(`${row.id}: ${row.title}`, async function (this: Mocha.Context) {
      this.timeout(row.quickMs ?? QUICK_MS);
      const obstacle = await row.obstacle?.();
      // What the machine refuses, such as ptrace or mount, no set-up can bring.
      skipUnless(this, obstacle === undefined, obstacle ?? '', { exempt: true });
      const { seed } = new Random();
      const lines: string[] = [];
      const result = await row.run({ cases: row.quick, seed, log: (line) => lines.push(line) });
      expect(result.passed, lines.join('\n')).to.equal(result.cases);
      expect(result.cases).to.be.at.least(row.quick);
    });
  }
});
