import type { Command } from 'commander';
import { type Amount, duRow } from '../storage-schemas.ts';
import { type OperatorOptions, withOperatorOptions } from './command-options.ts';
import { openOperator } from './operator.ts';
import { stoppable } from './stoppable.ts';
import { EXIT, humanSize, print, TableWriter } from './terminal.ts';

const WIDTH = 20;
const MAX_NAME = 24;

/** `caje du`. */
export function addDuCommand(program: Command): void {
  withOperatorOptions(
    program.command('du').description('count bodies and bytes, by storage and by rule'),
  )
    .addHelpText(
      'after',
      `
orphaned: no entry names it, so gc removes it; quarantined: found damaged and put aside; missing: the entry is there, the
body is not, and the next request fetches it. A body that two entries name counts once by storage and twice by rule.

Example:
  caje du --json`,
    )
    .action(async (options: OperatorOptions) => {
      process.exitCode = await du(options);
    });
}

async function du({ config, json }: OperatorOptions): Promise<number> {
  await using operator = await openOperator(config);
  const storages = tableOf('storage', 'bodies', 'orphaned', 'quarantined');
  const rules = tableOf('rule', 'namespace', 'entries', 'missing');
  const stopped = await stoppable(async (signal) => {
    for await (const row of operator.stream('du', duRow, {}, { signal })) {
      if (json) print(JSON.stringify(row));
      else if (row.kind === 'storage') {
        const { storage, bodies, orphaned, quarantined } = row;
        storages.row([storage, text(bodies), text(orphaned), text(quarantined)]);
      } else {
        const { rule, namespace, entries, missing } = row;
        if (rules.rows === 0) print();
        rules.row([rule, namespace, text(entries), text(missing)]);
      }
    }
  });
  return stopped ? EXIT.failed : EXIT.done;
}

function tableOf(name: string, ...titles: readonly string[]): TableWriter {
  return new TableWriter([
    { title: name, width: MAX_NAME },
    ...titles.map((title) => ({ title, width: WIDTH })),
  ]);
}

function text({ count, bytes }: Amount): string {
  return count === 0 ? '0' : `${count} (${humanSize(bytes)})`;
}
