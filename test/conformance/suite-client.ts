import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// The client of the suite, as its own `cli.mjs` runs it, but with fewer tests at once: some hold a second to be short, which
// a small machine with a hundred of them is not. Arguments: its runner, its tests, where the cache is, and the one test to
// run (absent: all). Prints what it found as JSON.

type Run = (...args: readonly unknown[]) => Promise<void>;
type Group = Readonly<Record<string, unknown>> & { readonly tests: readonly { id: string }[] };

/** Tests that run at once. */
const AT_ONCE = 40;

const [runner = '', tests = '', base = '', only] = process.argv.slice(2);
const load = async (file: string): Promise<Readonly<Record<string, unknown>>> =>
  (await import(pathToFileURL(file).href)) as Readonly<Record<string, unknown>>;
const { runTests, getResults } = await load(runner);
const groups = ((await load(tests))['default'] as readonly Group[]).map((group) => ({
  ...group,
  tests: group.tests.filter(({ id }) => only === undefined || id === only),
}));
const run = runTests as Run;
// Older versions are given what fetches.
const own =
  run.length > 3 ? [(await load(createRequire(runner).resolve('node-fetch')))['default']] : [];
await run(groups, ...own, false, base, AT_ONCE);
process.stdout.write(JSON.stringify((getResults as () => unknown)()));
