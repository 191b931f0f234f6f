import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { chooseRows, runRows } from '../soak/run-rows.ts';
import { loadRows, type SoakRow } from '../soak/soak-row.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

const good: SoakRow = {
  id: 'T-1',
  title: 'passes',
  quick: 2,
  full: 5,
  run: async ({ cases }) => ({ passed: cases, cases }),
};
const bad: SoakRow = {
  ...good,
  id: 'T-2',
  run: async ({ cases, log }) => {
    log('case 3: wrong byte');
    return { passed: cases - 1, cases };
  },
};
const lazy: SoakRow = { ...good, id: 'T-3', run: async () => ({ passed: 1, cases: 1 }) };
const broken: SoakRow = {
  ...good,
  id: 'T-4',
  run: () => Promise.reject(new Error('no node')),
};
const hindered: SoakRow = { ...good, id: 'T-5', obstacle: async () => 'ptrace is refused' };

describe('soak runner', () => {
  it('reports each row with its cases and seed, and counts how they ended', async () => {
    const lines: string[] = [];
    const print = (line: string): void => void lines.push(line);
    const result = await runRows([good, bad, lazy, broken, hindered], { seed: 9, print });
    expect(result).to.deep.equal({ passed: 1, failed: 3, skipped: 1 });
    expect(lines).to.deep.equal([
      'T-1, 5/5, seed 9',
      '  case 3: wrong byte',
      'T-2, 4/5, seed 9',
      'T-3, 1/1, seed 9',
      'T-4, broke off, seed 9: Error: no node',
      'T-5, skipped: ptrace is refused',
      'all cases, 10/11, seed 9',
      '1 passed, 3 failed, 1 skipped',
    ]);
  });

  it('runs as few cases as the tests do when asked to be quick', async () => {
    const lines: string[] = [];
    const print = (line: string): void => void lines.push(line);
    await runRows([good], { seed: 9, quick: true, print });
    expect(lines[0]).to.equal('T-1, 2/2, seed 9');
  });

  it('takes the rows named and refuses a name that none has', () => {
    expect(chooseRows([good, bad], ['T-2'])).to.deep.equal([bad]);
    expect(chooseRows([good, bad], [])).to.deep.equal([good, bad]);
    expect(() => chooseRows([good, bad], ['T-9'])).to.throw('no row T-9; there are: T-1, T-2');
  });

  it('finds its rows by their files, each id once', async () => {
    const ids = (await loadRows()).map(({ id }) => id);
    expect(new Set(ids).size).to.equal(ids.length);
  });

  it('ends with 2 and says how it is used when a row is unknown', async () => {
    const args = ['--conditions=caje-source', 'test/soak/run.ts', 'T-99'];
    const [code, stderr] = await new Promise<[unknown, string]>((resolve) => {
      execFile(process.execPath, args, { cwd: root }, (error, _, text) =>
        resolve([error?.code, text]),
      );
    });
    expect(code).to.equal(2);
    expect(stderr).to.include('no row T-99').and.to.include('npm run soak');
  });
});
