import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { exportTotal, fillRow } from '../go-schemas.ts';
import { type OperatorOptions, parseFilled, withOperatorOptions } from './command-options.ts';
import { FillRows } from './fill-rows.ts';
import { openOperator } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';
import { importTarFrom } from './tar-commands.ts';
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
    .argument('<folder>', 'folder in which the modules lie; a file for tar', parseFilled)
    .description(
      'keep the Go modules of a folder, or what a tar file of caje holds; nothing that is kept is replaced',
    );
  withOperatorOptions(command)
    .addOption(
      new Option('--format <format>', 'how the folder is laid out; absent: found out').choices([
        'goproxy',
        'athens',
        'modcache',
        'tar',
      ]),
    )
    .option(
      '--rule <name>',
      'the Go rule that keeps, if there are several; for tar any rule, if not those of the same names',
      parseFilled,
    )
    .option('--dry-run', 'only say what would be kept')
    .addHelpText(
      'after',
      `
goproxy: what caje export writes; athens: the disk of that proxy; modcache: $(go env GOMODCACHE);
tar: what caje export --format tar writes, and which is believed.
Exit code 1 if a file was refused or differs from what is kept.

Examples:
  caje import ./modules
  caje import "$(go env GOMODCACHE)" --dry-run`,
    )
    .action(async (folder: string, options: ImportOptions) => {
      const { format, dryRun = false, ...rest } = options;
      process.exitCode = await (format === 'tar'
        ? importTarFrom(folder, { ...rest, dryRun })
        : importFrom(folder, options));
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
