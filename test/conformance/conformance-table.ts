import type { TestGroup } from './cache-suite.ts';
import { type Score, scoreOf, type TestOutcome } from './outcomes.ts';
import type { PublishedResults } from './published-results.ts';

/** A cache in one column. */
export interface Column {
  readonly name: string;
  /** Absent: it has no test of that kind in that group. */
  score(kind: 'required' | 'optimal', group: string | undefined): Score | undefined;
}

/** A column of what was measured here. */
export function measuredColumn(name: string, outcomes: readonly TestOutcome[]): Column {
  return { name, score: (kind, group) => present(scoreOf(outcomes, kind, group)) };
}

/** Columns of what others have published. */
export function publishedColumns({ caches }: PublishedResults): Column[] {
  return caches.map(({ name, groups }) => ({
    name,
    score: (kind, group) => {
      const counted = group === undefined ? Object.values(groups) : [groups[group]];
      const at = kind === 'required' ? 0 : 2;
      const sum = { passed: 0, total: 0 };
      for (const counts of counted) {
        sum.passed += counts?.[at] ?? 0;
        sum.total += counts?.[at + 1] ?? 0;
      }
      return present(sum);
    },
  }));
}

/** A Markdown table of passed and all tests of one kind: a row for each group that has some, and one for all. */
export function tableOf(
  kind: 'required' | 'optimal',
  groups: readonly TestGroup[],
  columns: readonly Column[],
): string {
  const cell = (score: Score | undefined): string =>
    score === undefined ? '–' : `${score.passed}/${score.total}`;
  const rows = [undefined, ...groups.map(({ id }) => id)]
    .map((group) => ({ group, scores: columns.map((column) => column.score(kind, group)) }))
    .filter(({ scores }) => scores[0] !== undefined);
  const cells = [
    [kind, ...columns.map(({ name }) => name)],
    ['---', ...columns.map(() => '--:')],
    ...rows.map(({ group, scores }) => [group ?? 'all', ...scores.map(cell)]),
  ];
  const widths = cells[0]?.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)));
  return cells
    .map((row) => `| ${row.map((text, at) => text.padEnd(widths?.[at] ?? 0)).join(' | ')} |`)
    .join('\n');
}

function present(score: Score): Score | undefined {
  return score.total === 0 ? undefined : score;
}
