import { exportTotal, type SumdbRow, sumdbRow } from '../go-schemas.ts';
import type { OperatorOptions } from './command-options.ts';
import { openOperator } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';
import { EXIT, plain, print, roomToPrint } from './terminal.ts';

/** Options of `verify --sumdb`. */
export interface VerifySumsOptions extends OperatorOptions {
  readonly rule?: string | undefined;
}

/** `caje verify --sumdb`: gives the exit code, 1 for a mismatch. */
export async function verifySums(options: VerifySumsOptions): Promise<number> {
  const { config, json = false, rule } = options;
  await using operator = await openOperator(config);
  const counts = { ok: 0, mismatch: 0, unknown: 0, unverified: 0, skipped: 0 };
  let rows = 0;
  const stopped = await stoppable(async (signal) => {
    // Counting takes a walk of its own, so only where somebody watches.
    using bar = ProgressBar.isSeen
      ? new ProgressBar((await operator.call('verify-sumdb-total', exportTotal, { rule })).files)
      : undefined;
    for await (const row of operator.stream('verify-sumdb', sumdbRow, { rule }, { signal })) {
      rows += 1;
      counts[row.outcome] += 1;
      const text = json ? JSON.stringify(row) : sentence(row);
      if (text !== undefined) {
        bar?.clear();
        print(text);
      }
      await roomToPrint();
      bar?.update(rows, `${rows} compared, ${counts.mismatch} mismatched`);
    }
  });
  if (!json) {
    const { ok, mismatch, unknown, unverified, skipped } = counts;
    const rest = stopped ? '; stopped' : '';
    print(
      `${ok} as the checksum database says, ${mismatch} mismatched, ${unknown} unknown to it, ${unverified} not verified, ${skipped} private and left out${rest}`,
    );
  }
  return stopped || counts.mismatch > 0 ? EXIT.failed : EXIT.done;
}

// Absent: nothing a person has to read.
function sentence({ module, version, file, outcome, problem }: SumdbRow): string | undefined {
  if (outcome !== 'mismatch' && outcome !== 'unverified') return undefined;
  return plain(`${outcome}: ${module}@${version} ${file}: ${problem}`);
}
