import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { countsLine, runInLanes, type TestGroup } from './support/lanes.ts';

// `npm test`. Without arguments every test: by folders, each in a mocha of its own, two at a time where there are two
// cores, since most tests wait for processes. With arguments a mocha with them.

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const ALL = 'test/**/*.test.ts';
const LANES = Number(process.env['CAJE_TEST_LANES'] ?? 2);
/** What takes long, longest first: it begins before the rest. A file stands for itself, a folder for its files. */
const LONG = [
  'test/faults.test.ts',
  'test/criteria',
  'test/cli',
  'test/integration',
  'test/gomod',
  'test/storage',
  'test/docs',
  'test/fetchers',
  'test/harness',
];

async function groupsOf(pattern: string): Promise<readonly TestGroup[]> {
  const groups = new Map<string, string[]>();
  for await (const file of glob(pattern, { cwd: ROOT })) {
    const folder = file.slice(0, file.lastIndexOf('/'));
    const name = LONG.includes(file) ? file : folder;
    groups.set(name, [...(groups.get(name) ?? []), file]);
  }
  const place = (name: string): number => (LONG.includes(name) ? LONG.indexOf(name) : LONG.length);
  return [...groups]
    .map(([name, files]) => ({ name, files: files.sort() }))
    .sort((a, b) => place(a.name) - place(b.name) || (a.name < b.name ? -1 : 1));
}

async function runAll(): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const counts = await runInLanes(await groupsOf(ALL), {
    lanes: Math.max(1, Math.min(LANES, availableParallelism())),
    signal: stop.signal,
    print: (text) => process.stdout.write(text),
  });
  process.stdout.write(`\n${countsLine(counts)}`);
  process.exitCode = counts.failed > 0 || stop.signal.aborted ? 1 : 0;
}

async function runMocha(args: readonly string[]): Promise<void> {
  const files = args.some((arg) => arg.endsWith('.ts')) ? [] : [ALL];
  const mocha = fileURLToPath(import.meta.resolve('mocha/bin/mocha.js'));
  const child = spawn(process.execPath, [mocha, ...args, ...files], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}

const args = process.argv.slice(2);
await (args.length === 0 ? runAll() : runMocha(args));
