import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { type ExportRow, exportRow, exportTotal } from '../go-schemas.ts';
import { type OperatorOptions, parseFilled, withOperatorOptions } from './command-options.ts';
import { type Operator, openOperator } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';
import { exportTarTo } from './tar-commands.ts';
import { EXIT, humanSize, plain, print, roomToPrint } from './terminal.ts';

interface ExportOptions extends OperatorOptions {
  readonly format: string;
  readonly rule?: string | undefined;
  readonly namespace?: string | undefined;
  readonly prefix?: string | undefined;
}

/** `caje export`. */
export function addExportCommand(program: Command): void {
  const command = program
    .command('export')
    .argument(
      '<folder>',
      'folder to write into, made if it is not there; a new file for tar',
      parseFilled,
    )
    .description(
      'write the Go modules that are kept into a folder that is itself a GOPROXY, or anything that is kept into a tar file',
    );
  withOperatorOptions(command)
    .addOption(
      new Option('--format <format>', 'how the folder is laid out')
        .choices(['goproxy', 'tar'])
        .default('goproxy'),
    )
    .option('--rule <name>', 'only what this rule stored', parseFilled)
    .option(
      '--namespace <name>',
      'what is kept there instead of under the Go rule; only that, for tar',
      parseFilled,
    )
    .option(
      '--prefix <module>',
      'only this module and those below its path; keys that begin so, for tar',
      parseFilled,
    )
    .addHelpText(
      'after',
      `
What lies there already with the right bytes is not written again. Exit code 1 if a file failed.

Examples:
  caje export ./modules && GOPROXY=file://$PWD/modules go build
  caje export /mnt/stick --prefix example.com/team
  caje export site.tar --format tar --rule site`,
    )
    .action(async (folder: string, options: ExportOptions) => {
      process.exitCode = await (options.format === 'tar'
        ? exportTarTo(folder, tarOptions(options))
        : exportTo(folder, options));
    });
}

function tarOptions({ format: _, ...options }: ExportOptions): Omit<ExportOptions, 'format'> {
  return options;
}

async function exportTo(
  folder: string,
  { config, json = false, ...options }: ExportOptions,
): Promise<number> {
  const input = { ...options, folder: resolve(folder) };
  await using operator = await openOperator(config);
  const counts = { written: 0, there: 0, failed: 0, bytes: 0 };
  const stopped = await stoppable(async (signal) => {
    using bar = await barFor(operator, input);
    for await (const row of operator.stream('export', exportRow, input, { signal })) {
      counts[row.outcome] += 1;
      if (row.outcome === 'written') counts.bytes += row.size;
      if (json || row.outcome === 'failed') {
        bar?.clear();
        print(json ? JSON.stringify(row) : failure(row));
      }
      await roomToPrint();
      bar?.update(counts.written + counts.there + counts.failed, `${counts.failed} failed`);
    }
  });
  if (!json) {
    const { written, there, failed, bytes } = counts;
    const rest = stopped ? '; stopped: run it again to go on' : '';
    print(
      `${written} written (${humanSize(bytes)}), ${there} there already, ${failed} failed${rest}`,
    );
  }
  return stopped || counts.failed > 0 ? EXIT.failed : EXIT.done;
}

// Counting takes a walk of its own, so only where somebody watches.
async function barFor(operator: Operator, input: unknown): Promise<ProgressBar | undefined> {
  if (!ProgressBar.isSeen) return undefined;
  return new ProgressBar((await operator.call('export-total', exportTotal, input)).files);
}

function failure({ path, problem }: ExportRow): string {
  return plain(`failed: ${path}: ${problem}`);
}
