import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

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
  /** Takes the report, some lines at a time. */
  print(text: string): void;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The program behind `bin/mocha.js`, which would start a process of its own that outlives it. */
const MOCHA = fileURLToPath(import.meta.resolve('mocha/lib/cli/cli.js'));
const COMPILED = fileURLToPath(new URL('../../node_modules/.cache/caje', import.meta.url));
const COUNTS = /^(\d+) passed, (\d+) failed, (\d+) skipped$/;
/** Mocha's line before it tells what failed and why. */
const FAILING = /^ *\d+ failing$/;

/** As the last line of a test run. */
export function countsLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped\n`;
}

/**
 * Runs each group in a mocha of its own, from the first on, and sums up. A group that ends badly without a failed test
 * counts as one: what it did not come to is not known. The report of one group is printed as it comes, those of others
 * once it is over, so that each stays whole. What failed is told once more at the end, where a cut log still has it.
 */
export async function runInLanes(
  groups: readonly TestGroup[],
  { lanes, signal, print }: LaneOptions,
): Promise<Counts> {
  const waiting = [...groups];
  const reports = new Reports(print);
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const failures: string[] = [];
  const lane = async (number: number): Promise<void> => {
    for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
      if (signal?.aborted === true) return;
      const { passed, failed, skipped, why } = await runGroup(group, number, reports, signal);
      if (failed > 0) failures.push(`\n# ${group.name} failed`, ...why);
      sum.passed += passed;
      sum.failed += failed;
      sum.skipped += skipped;
    }
  };
  await Promise.all(Array.from({ length: lanes }, async (_, number) => await lane(number)));
  for (const line of failures) print(`${line}\n`);
  return sum;
}

/** How a group ended, and the lines that tell what failed in it. */
interface GroupEnd extends Counts {
  readonly why: readonly string[];
}

async function runGroup(
  { name, files }: TestGroup,
  lane: number,
  reports: Reports,
  signal: AbortSignal | undefined,
): Promise<GroupEnd> {
  const report = reports.open();
  report.add(`\n# ${name}`);
  const from = performance.now();
  const child = spawn(process.execPath, ['--conditions=caje-source', MOCHA, ...files], {
    cwd: ROOT,
    // Lanes take ports apart from each other. Compiled code is kept as bin/caje keeps it: what tests start is begun quicker.
    env: { NODE_COMPILE_CACHE: COMPILED, ...process.env, CAJE_TEST_LANE: String(lane) },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that what tests have started ends with it.
    detached: true,
  });
  const stop = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
  };
  signal?.addEventListener('abort', stop);
  let counts: Counts | undefined;
  let tellsWhy = false;
  const why: string[] = [];
  const take = (line: string): void => {
    tellsWhy ||= FAILING.test(stripVTControlCharacters(line));
    const [passed, failed, skipped] = (COUNTS.exec(line)?.slice(1) ?? []).map(Number);
    if (passed === undefined || failed === undefined || skipped === undefined) {
      report.add(line);
      if (tellsWhy) why.push(line);
    } else {
      counts = { passed, failed, skipped };
    }
  };
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', take);
  const [code, how] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  signal?.removeEventListener('abort', stop);
  const isGood = code === 0 && counts !== undefined;
  const { passed = 0, failed = 0, skipped = 0 } = counts ?? {};
  const seconds = Math.round((performance.now() - from) / 1000);
  const end = isGood ? `# ${name}: ${seconds} s` : `# ${name} ended with ${how ?? code}`;
  report.add(end);
  report.close();
  return {
    passed,
    failed: isGood ? failed : Math.max(1, failed),
    skipped,
    why: why.length > 0 ? why : [end],
  };
}

interface Report {
  add(line: string): void;
  close(): void;
}

/** Reports that grow at the same time, printed one after the other; the first that is open as it grows. */
class Reports {
  readonly #print: (text: string) => void;
  readonly #open: { readonly lines: string[]; isOver: boolean }[] = [];

  constructor(print: (text: string) => void) {
    this.#print = print;
  }

  open(): Report {
    const report = { lines: [] as string[], isOver: false };
    this.#open.push(report);
    return {
      add: (line) => {
        report.lines.push(line);
        this.#flush();
      },
      close: () => {
        report.isOver = true;
        this.#flush();
      },
    };
  }

  #flush(): void {
    for (let first = this.#open[0]; first !== undefined; first = this.#open[0]) {
      for (const line of first.lines.splice(0)) this.#print(`${line}\n`);
      if (!first.isOver) return;
      this.#open.shift();
    }
  }
}
