import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { exportTotal, fillRow } from '../go-schemas.ts';
import { type OperatorOptions, parseFilled, withOperatorOptions } from './command-options.ts';
import { FillRows } from './fill-rows.ts';
import { openOperator } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';
import { EXIT } from './terminal.ts';

interface ImportOptions extends OperatorOptions {
  readonly format?: string | undefined;
  readonly rule?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

/** `caje import`. */
export function addImportCommand(program: Command): void {
  const command = program
    .command('import')
    .argument('<folder>', 'where the modules lie', parseFilled)
    .description('keep the Go modules of a folder; nothing that is kept is replaced');
  withOperatorOptions(command)
    .addOption(
      new Option('--format <format>', 'how the folder is laid out; absent: found out').choices([
        'goproxy',
        'athens',
        'modcache',
      ]),
    )
    .option('--rule <name>', 'the Go rule that keeps, if there are several', parseFilled)
    .option('--dry-run', 'only say what would be kept')
    .addHelpText(
      'after',
      `
goproxy: what caje export writes; athens: the disk of that proxy; modcache: $(go env GOMODCACHE).
Exit code 1 if a file was refused or differs from what is kept.

Examples:
  caje import ./modules
  caje import "$(go env GOMODCACHE)" --dry-run`,
    )
    .action(async (folder: string, options: ImportOptions) => {
      process.exitCode = await importFrom(folder, options);
    });
}

async function importFrom(folder: string, options: ImportOptions): Promise<number> {
  const { config, json = false, format, rule, dryRun = false } = options;
  const input = { folder: resolve(folder), format, rule, dryRun };
  await using operator = await openOperator(config, { mayMake: true });
  const total = ProgressBar.isSeen
    ? (await operator.call('import-total', exportTotal, input)).files
    : undefined;
  using rows = new FillRows({ json, verb: 'imported', total });
  const stopped = await stoppable(async (signal) => {
    for await (const row of operator.stream('import', fillRow, input, { signal }))
      await rows.take(row);
  });
  rows.sum(stopped);
  return stopped ? EXIT.failed : rows.exitCode;
}
