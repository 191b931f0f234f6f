import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Test files that one mocha runs, and what they are called. */
export interface TestGroup {
  readonly name: string;
  /** Paths from the root of the checkout. */
  readonly files: readonly string[];
}

/** How tests ended. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** How groups are run. */
export interface LaneOptions {
  /** Groups run at the same time. */
  readonly lanes: number;
  /** Ends what runs and begins nothing more. Absent: nobody stops it. */
  readonly signal?: AbortSignal | undefined;
  /** Takes the report of a group once it is over. */
  print(text: string): void;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MOCHA = fileURLToPath(import.meta.resolve('mocha/bin/mocha.js'));
const COUNTS = /^(\d+) passed, (\d+) failed, (\d+) skipped\n/m;

/** As the last line of a test run. */
export function countsLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped\n`;
}

/**
 * Runs each group in a mocha of its own, from the first on, and sums up. A group that ends badly without a failed test
 * counts as one: what it did not come to is not known.
 */
export async function runInLanes(
  groups: readonly TestGroup[],
  { lanes, signal, print }: LaneOptions,
): Promise<Counts> {
  const waiting = [...groups];
  let sum: Counts = { passed: 0, failed: 0, skipped: 0 };
  const lane = async (): Promise<void> => {
    for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
      if (signal?.aborted === true) return;
      const from = performance.now();
      const { report, counts } = await runGroup(group, signal);
      const seconds = Math.round((performance.now() - from) / 1000);
      print(`\n# ${group.name}, ${seconds} s\n${report}`);
      sum = {
        passed: sum.passed + counts.passed,
        failed: sum.failed + counts.failed,
        skipped: sum.skipped + counts.skipped,
      };
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return sum;
}

async function runGroup(
  { name, files }: TestGroup,
  signal: AbortSignal | undefined,
): Promise<{ report: string; counts: Counts }> {
  const child: ChildProcess = spawn(process.execPath, [MOCHA, ...files], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stop = (): void => void child.kill('SIGTERM');
  signal?.addEventListener('abort', stop);
  const pieces: Buffer[] = [];
  const take = (piece: Buffer): void => void pieces.push(piece);
  child.stdout?.on('data', take);
  child.stderr?.on('data', take);
  const [code, how] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  signal?.removeEventListener('abort', stop);
  const said = Buffer.concat(pieces).toString();
  const found = COUNTS.exec(said);
  const [passed = 0, failed = 0, skipped = 0] = (found?.slice(1) ?? []).map(Number);
  const report = found === null ? said : said.replace(COUNTS, '');
  if (code === 0 && found !== null) return { report, counts: { passed, failed, skipped } };
  const end = failed > 0 ? '' : `${name} ended with ${how ?? code}\n`;
  return { report: report + end, counts: { passed, failed: Math.max(1, failed), skipped } };
}
