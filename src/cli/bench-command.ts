import { type Command, Option } from 'commander';
import type { BenchOptions, BenchReport } from '../bench-halt.ts';
import { ProxyError } from '../errors.ts';
import { parseCount, parseFilled } from './command-options.ts';
import { stoppable } from './stoppable.ts';
import { EXIT, print, TableWriter } from './terminal.ts';

interface HaltOptions {
  readonly nodes: number;
  readonly writes: number;
  /** Absent: each that can be tried here. */
  readonly lock?: 'local' | 'peer' | undefined;
  /** Folders. */
  readonly litefs?: string | undefined;
  /** URLs. */
  readonly litefsApi: string;
  readonly litefsPrimary: string;
  readonly json?: boolean | undefined;
}

/** `caje bench halt`. */
export function addBenchCommand(program: Command): void {
  const command = program.command('bench').description('measure what this machine does');
  command
    .command('halt')
    .description('how fast several processes write one manifest, by the lock that they write under')
    .option('--nodes <n>', 'processes that write', parseCount, 3)
    .option('--writes <n>', 'writes of each', parseCount, 200)
    .addOption(
      new Option('--lock <type>', 'only this one; default: both').choices(['local', 'peer']),
    )
    .option(
      '--litefs <dirs>',
      'mounts of a LiteFS cluster, by commas: one process on each',
      parseFilled,
    )
    .option(
      '--litefs-api <urls>',
      'their APIs, in this order',
      parseFilled,
      'http://127.0.0.1:20202',
    )
    .option('--litefs-primary <url>', "the primary's API", parseFilled, 'http://{hostname}:20202')
    .option('--json', 'for programs: one JSON value a line')
    .addHelpText(
      'after',
      `
local: all on one file. peer: each has a file of its own and hands its writes to a primary beside them, over loopback. With
--litefs only that is measured, on the database caje-bench-halt.db. Each write is durable before the next. What was made for
it is removed, also on Ctrl-C. Exit code 1 if it was stopped, or if a write failed or waited for the lock for more than 10 s.

Examples:
  caje bench halt --nodes 3 --writes 200
  caje bench halt --litefs /mnt/a,/mnt/b --litefs-api http://127.0.0.1:20202,http://127.0.0.1:20203`,
    )
    .action(async (options: HaltOptions) => {
      process.exitCode = await halt(options);
    });
}

async function halt(options: HaltOptions): Promise<number> {
  const { benchHalt } = await import('../bench-halt.ts');
  const table = new TableWriter(
    [
      'lock',
      'nodes',
      'writes',
      'writes/s',
      'p50 ms',
      'p99 ms',
      'max ms',
      'time-outs',
      'failed',
    ].map((title) => ({ title, width: 9 })),
  );
  let isWell = true;
  const stopped = await stoppable(async (signal) => {
    for (const run of runsOf(options)) {
      const report = await benchHalt(run, { signal });
      isWell &&= report.failed === 0 && report.timeouts === 0;
      if (options.json) print(JSON.stringify(report));
      else table.row(cellsOf(report));
    }
  });
  return isWell && !stopped ? EXIT.done : EXIT.failed;
}

function runsOf(options: HaltOptions): readonly BenchOptions[] {
  const { nodes, writes, lock, litefs, litefsApi, litefsPrimary } = options;
  if (litefs === undefined) {
    const locks = lock === undefined ? (['local', 'peer'] as const) : [lock];
    return locks.map((one) => ({ lock: one, nodes, writes }));
  }
  const apis = litefsApi.split(',');
  const folders = litefs.split(',');
  if (lock !== undefined || (apis.length !== 1 && apis.length !== folders.length))
    throw new ProxyError(
      'invalid',
      'bench.litefs',
      '--litefs takes one API for each mount, or one for all, and no --lock',
    );
  const mounts = folders.map((folder, index) => ({
    folder,
    api: apis[index] ?? apis[0] ?? '',
  }));
  return [{ lock: 'litefs', nodes: mounts.length, writes, mounts, liteFsPrimary: litefsPrimary }];
}

function cellsOf(report: BenchReport): string[] {
  const { lock, nodes, writes, writesPerSecond, p50, p99, max, timeouts, failed } = report;
  const times = [writesPerSecond, p50, p99, max].map((number) => number.toFixed(1));
  return [lock, String(nodes), String(writes), ...times, String(timeouts), String(failed)];
}
