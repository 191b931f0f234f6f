import { Random } from '../support/random.ts';
import type { SoakResult, SoakRun } from './soak-row.ts';

/** How cases are tried. */
export interface TryCasesOptions extends SoakRun {
  /** Cases tried at the same time. Absent: 1. */
  readonly lanes?: number | undefined;
}

/** One case: passes unless it throws. What chance does in it follows from the seed and its number alone. */
export type TryCase = (number: number, random: Random) => Promise<void>;

/** Tries every case and counts those that pass; says of each other what went wrong. */
export async function tryCases(
  { cases, seed, log, lanes = 1 }: TryCasesOptions,
  tryCase: TryCase,
): Promise<SoakResult> {
  let passed = 0;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < cases) {
      const number = next++;
      try {
        await tryCase(number, new Random(seed ^ Math.imul(number + 1, 0x9e3779b1)));
        passed++;
      } catch (error) {
        log(`case ${number}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { passed, cases };
}

/** The sum of several results, such as those of the halves of a row. */
export function sumOf(...results: readonly SoakResult[]): SoakResult {
  return results.reduce((sum, { passed, cases }) => ({
    passed: sum.passed + passed,
    cases: sum.cases + cases,
  }));
}

/** Counts a last check, such as an audit, as a case of its own. */
export async function alsoTry(
  result: SoakResult,
  { log }: Pick<SoakRun, 'log'>,
  check: () => Promise<void>,
): Promise<SoakResult> {
  const last = await tryCases(
    { cases: 1, seed: 0, log: (line) => log(`at the end: ${line}`) },
    check,
  );
  return sumOf(result, last);
}
