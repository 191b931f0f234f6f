import { parseArgs } from 'node:util';
import { loadSuite } from './cache-suite.ts';
import { measuredColumn, publishedColumns, tableOf } from './conformance-table.ts';
import { expectedFailures, PROFILES, type Profile, surprises } from './expected-failures.ts';
import { measure } from './measured-node.ts';
import { type Outcome, scoreOf, type TestOutcome } from './outcomes.ts';
import { publishedResults } from './published-results.ts';
import { SuiteOrigin } from './suite-run.ts';

const USAGE = `npm run conformance -- [--suite DIR] [--profile rfc|strict]
Runs the public HTTP cache suite through a node and prints what passes, beside what other caches have published.
  --suite DIR    a checkout of the suite with its packages installed; default: the npm package
  --profile …    one profile alone; default: both at the same time`;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function countsLine(profile: Profile, outcomes: readonly TestOutcome[]): string {
  const kinds = (['required', 'optimal', 'check'] as const).map((kind) => {
    const counts = new Map<Outcome, number>();
    for (const { outcome } of outcomes.filter((test) => test.kind === kind))
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    const told = [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', ');
    return `${kind} ${told} of ${scoreOf(outcomes, kind).total}`;
  });
  return `${profile}: ${kinds.join('; ')}`;
}

async function missesOf(profile: Profile, outcomes: readonly TestOutcome[]): Promise<string[]> {
  const expected = await expectedFailures(profile);
  return outcomes
    .filter(({ kind, outcome }) => kind !== 'check' && outcome !== 'pass')
    .map(({ id, kind, outcome, message = '' }) => {
      const why = expected.get(id);
      return `  ${kind} ${id}: ${outcome}${why === undefined ? `, not expected: ${message}` : `, ${why}`}`;
    });
}

async function run(profiles: readonly Profile[], folder: string | undefined): Promise<boolean> {
  const suite = await loadSuite(folder);
  await using origin = await SuiteOrigin.start(suite);
  const measured = await Promise.all(
    profiles.map(async (profile) => ({
      profile,
      outcomes: await measure(suite, origin, profile),
    })),
  );
  const published = await publishedResults();
  const columns = [
    ...measured.map(({ profile, outcomes }) => measuredColumn(`caje ${profile}`, outcomes)),
    ...publishedColumns(published),
  ];
  print(tableOf('required', suite.groups, columns));
  print(`\n${tableOf('optimal', suite.groups, columns)}`);
  print(`\nOther caches: ${published.source}, ${published.date}.\n`);
  let isExpected = true;
  for (const { profile, outcomes } of measured) {
    print([countsLine(profile, outcomes), ...(await missesOf(profile, outcomes))].join('\n'));
    isExpected &&= surprises(outcomes, await expectedFailures(profile)).length === 0;
  }
  // Another version of the suite has other tests, about which nothing is expected.
  return isExpected || folder !== undefined;
}

try {
  const { values } = parseArgs({
    options: {
      suite: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const { profile } = values;
  const profiles = PROFILES.filter((name) => profile === undefined || name === profile);
  if (profiles.length === 0) throw new Error(`no profile is called ${profile}`);
  if (values.help) print(USAGE);
  else process.exitCode = (await run(profiles, values.suite)) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
  process.exitCode = 2;
}
