import type { SoakRow } from './soak-row.ts';

/** How rows are run. */
export interface RunRowsOptions {
  readonly seed: number;
  /** True: as few cases as the tests run. Absent: the full count. */
  readonly quick?: boolean | undefined;
  /** Cases of each row. Absent: as `quick` says. */
  readonly cases?: number | undefined;
  /** Takes each line of the report. */
  print(line: string): void;
}

/** Rows by how they ended. */
export interface RunRowsResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Runs rows one after the other and reports each as `row, passed/cases, seed`. */
export async function runRows(
  rows: readonly SoakRow[],
  { seed, quick = false, cases: wanted, print }: RunRowsOptions,
): Promise<RunRowsResult> {
  const result = { passed: 0, failed: 0, skipped: 0 };
  let passedCases = 0;
  let allCases = 0;
  for (const row of rows) {
    const obstacle = await row.obstacle?.();
    if (obstacle !== undefined) {
      print(`${row.id}, skipped: ${obstacle}`);
      result.skipped++;
      continue;
    }
    const cases = wanted ?? (quick ? row.quick : row.full);
    const log = (line: string): void => print(`  ${line}`);
    try {
      const outcome = await row.run({ cases, seed, log });
      print(`${row.id}, ${outcome.passed}/${outcome.cases}, seed ${seed}`);
      passedCases += outcome.passed;
      allCases += outcome.cases;
      // A row that tried less than it was asked to has not shown what it should.
      if (outcome.passed === outcome.cases && outcome.cases >= cases) result.passed++;
      else result.failed++;
    } catch (error) {
      print(`${row.id}, broke off, seed ${seed}: ${String(error)}`);
      result.failed++;
    }
  }
  print(`all cases, ${passedCases}/${allCases}, seed ${seed}`);
  print(`${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`);
  return result;
}

/** The rows named, in their own order; no name: all. Throws for a name that no row has. */
export function chooseRows(rows: readonly SoakRow[], ids: readonly string[]): readonly SoakRow[] {
  const known = new Set(rows.map(({ id }) => id));
  const unknown = ids.filter((id) => !known.has(id));
  if (unknown.length > 0) {
    throw new Error(`no row ${unknown.join(', ')}; there are: ${[...known].join(', ')}`);
  }
  return ids.length === 0 ? rows : rows.filter(({ id }) => ids.includes(id));
}
