import type { Command } from 'commander';
import { storedTotal } from '../operator-schemas.ts';
import { type GcRow, gcItem } from '../storage-schemas.ts';
import { type OperatorOptions, parseFilled, withOperatorOptions } from './command-options.ts';
import { openOperator } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';
import { EXIT, humanSize, plain, print, roomToPrint } from './terminal.ts';

interface GcOptions extends OperatorOptions {
  readonly storage?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

/** What each kind is called to people. */
const NAMES: Readonly<Record<GcRow['what'], string>> = {
  spool: 'spool file',
  leftover: 'leftover',
  orphan: 'body without an entry',
  quarantined: 'quarantined body',
};

/** `caje gc`. */
export function addGcCommand(program: Command): void {
  const about = 'remove what nobody needs: bodies without an entry, and what a crash left';
  withOperatorOptions(program.command('gc').description(about))
    .option('--dry-run', 'only list it')
    .option('--storage <name>', 'only this store, and the spool', parseFilled)
    .addHelpText(
      'after',
      `
It may run beside a node that serves, be stopped at any time, and be run again. gc.orphanGrace and gc.quarantine say what
is old enough. Exit code 1 if something could not be removed.

Example:
  caje gc --dry-run`,
    )
    .action(async (options: GcOptions) => {
      process.exitCode = await gc(options);
    });
}

async function gc({ config, json = false, storage, dryRun = false }: GcOptions): Promise<number> {
  await using operator = await openOperator(config);
  using bar = ProgressBar.isSeen
    ? new ProgressBar((await operator.call('stored', storedTotal, { storage })).bodies)
    : undefined;
  const sum = { count: 0, bytes: 0, failed: 0, seen: 0 };
  const stopped = await stoppable(async (signal) => {
    for await (const row of operator.stream('gc', gcItem, { storage, dryRun }, { signal })) {
      if (row.what === 'seen') sum.seen = row.bodies;
      else {
        if (row.outcome === 'failed') sum.failed += 1;
        sum.count += row.count;
        sum.bytes += row.size;
        bar?.clear();
        print(json ? JSON.stringify(row) : sentence(row));
        await roomToPrint();
      }
      bar?.update(sum.seen, `${sum.seen} looked at, ${sum.count} found`);
    }
  });
  if (!json) {
    const done = dryRun ? 'would be removed' : 'removed';
    const rest = `${sum.failed > 0 ? `, ${sum.failed} failed` : ''}${stopped ? '; stopped' : ''}`;
    print(`${sum.count} ${done}, ${humanSize(sum.bytes)}${rest}`);
  }
  return stopped || sum.failed > 0 ? EXIT.failed : EXIT.done;
}

function sentence({ what, storage, name, size, outcome, problem }: GcRow): string {
  const where = storage === undefined ? '' : ` in ${storage}`;
  const why = problem === undefined ? '' : `: ${problem}`;
  return plain(`${outcome}: ${NAMES[what]} ${name}${where}, ${humanSize(size)}${why}`);
}
