import type { CacheTest, TestGroup } from './cache-suite.ts';
import type { SuiteResults } from './suite-run.ts';

/**
 * What one test came to. `dep`: a test that it builds on did not pass; `setup`: the exchange broke before the point of the
 * test; `retry`: the cache asked the origin twice; `harness`: a request met the suite's time-out; `untested`: it was not run.
 */
export type Outcome = 'pass' | 'fail' | 'dep' | 'setup' | 'retry' | 'harness' | 'untested';

/** A test with its outcome; a check that is answered yes passes. */
export interface TestOutcome extends CacheTest {
  readonly group: string;
  readonly outcome: Outcome;
  /** What the suite says. Absent: nothing. */
  readonly message?: string | undefined;
}

/** How many of the tests of one kind passed. */
export interface Score {
  readonly passed: number;
  readonly total: number;
}

/** The outcome of every test, in the order of the suite. */
export function outcomesOf(groups: readonly TestGroup[], results: SuiteResults): TestOutcome[] {
  const tests = new Map(groups.flatMap((group) => group.tests.map((test) => [test.id, test])));
  const known = new Map<string, Outcome>();
  const outcomeOf = (id: string): Outcome => {
    const before = known.get(id);
    if (before !== undefined) return before;
    // A circle of tests that build on each other would never end.
    known.set(id, 'dep');
    const missing = tests.get(id)?.dependsOn.some((other) => outcomeOf(other) !== 'pass') ?? false;
    const outcome = missing ? 'dep' : ownOutcome(results.get(id));
    known.set(id, outcome);
    return outcome;
  };
  return groups.flatMap((group) =>
    group.tests.map((test) => {
      const result = results.get(test.id);
      const message = result === undefined || result === true ? undefined : result.join(': ');
      return { ...test, group: group.id, outcome: outcomeOf(test.id), message };
    }),
  );
}

/** Counts the tests of one kind; `group`: those of one group alone. */
export function scoreOf(
  outcomes: readonly TestOutcome[],
  kind: CacheTest['kind'],
  group?: string,
): Score {
  const counted = outcomes.filter(
    (test) => test.kind === kind && (group === undefined || test.group === group),
  );
  return {
    passed: counted.filter(({ outcome }) => outcome === 'pass').length,
    total: counted.length,
  };
}

function ownOutcome(result: ReturnType<SuiteResults['get']>): Outcome {
  if (result === undefined) return 'untested';
  if (result === true) return 'pass';
  const [kind, message] = result;
  if (kind === 'Setup') return message === 'retry' ? 'retry' : 'setup';
  return kind === 'AbortError' ? 'harness' : 'fail';
}
