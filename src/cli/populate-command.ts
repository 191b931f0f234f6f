import type { Command } from 'commander';
import { ProxyError } from '../errors.ts';
import { DEFAULT_CONCURRENCY, fillRow } from '../go-schemas.ts';
import {
  type OperatorOptions,
  parseCount,
  parseFilled,
  parseTime,
  withOperatorOptions,
} from './command-options.ts';
import { FillRows } from './fill-rows.ts';
import { wantedBy } from './module-sources.ts';
import { openOperator } from './operator.ts';
import { stoppable } from './stoppable.ts';
import { EXIT } from './terminal.ts';

interface PopulateOptions extends OperatorOptions {
  readonly rule?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly concurrency: number;
  /** False: `--no-sumdb`. */
  readonly sumdb: boolean;
  readonly watch?: boolean | undefined;
  /** Milliseconds. */
  readonly interval: number;
}

const INTERVAL_MS = 5_000;

/** `caje populate`. */
export function addPopulateCommand(program: Command): void {
  const command = program
    .command('populate')
    .argument(
      '[what...]',
      'go.mod, go.sum or go.work, a list of modules, - for standard input, or module@version',
    )
    .description('fetch Go modules before anybody asks; what is kept is not fetched again');
  withOperatorOptions(command)
    .option('--rule <name>', 'the Go rule that fetches, if there are several', parseFilled)
    .option('--dry-run', 'only say what would be fetched')
    .option('--concurrency <n>', 'files at once', parseCount, DEFAULT_CONCURRENCY)
    .option('--no-sumdb', 'leave checksum databases alone')
    .option(
      '--watch',
      'instead, go on fetching what the manifest gets to know and this node does not have',
    )
    .option('--interval <duration>', 'between two looks of --watch', parseTime, INTERVAL_MS)
    .addHelpText(
      'after',
      `
A list has one module@version a line; lines of a go.sum file do as well, and # begins a comment. Of a go.mod file all that a
build with it needs is fetched. Exit code 1 if a file failed.

Examples:
  caje populate go.mod
  caje populate golang.org/x/tools@v0.30.0
  caje populate --dry-run modules.txt
  caje populate --watch               beside a node of a cluster, as a process of its own`,
    )
    .action(async (words: readonly string[], options: PopulateOptions) => {
      process.exitCode = await (options.watch === true ? watch : populate)(words, options);
    });
}

async function watch(words: readonly string[], options: PopulateOptions): Promise<number> {
  if (words.length > 0)
    throw new ProxyError(
      'invalid',
      'populate',
      '--watch follows the manifest: name nothing beside it',
    );
  const { populateWatch } = await import('./populate-watch-command.ts');
  return await populateWatch(options);
}

async function populate(words: readonly string[], options: PopulateOptions): Promise<number> {
  if (words.length === 0)
    throw new ProxyError(
      'invalid',
      'populate',
      'expected a file, module@version or - for standard input',
    );
  const { config, json = false, rule, dryRun = false, concurrency, sumdb } = options;
  using rows = new FillRows({ json, verb: 'fetched' });
  await using operator = await openOperator(config, { mayMake: true });
  const stopped = await stoppable(async (signal) => {
    for await (const wanted of wantedBy(words)) {
      const input = { ...wanted, rule, dryRun, concurrency, sumdb };
      for await (const row of operator.stream('populate', fillRow, input, { signal }))
        await rows.take(row);
      rows.next();
    }
  });
  rows.sum(stopped);
  return stopped ? EXIT.failed : rows.exitCode;
}
