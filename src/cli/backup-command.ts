import { resolve } from 'node:path';
import type { Command } from 'commander';
import { bodyRow, HOUSE_CONCURRENCY, houseTotal } from '../house-schemas.ts';
import { BodyRows } from './body-rows.ts';
import {
  type OperatorOptions,
  parseCount,
  parseFilled,
  withOperatorOptions,
} from './command-options.ts';
import { openOperator } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';

interface BackupOptions extends OperatorOptions {
  readonly concurrency: number;
}

/** `caje backup`. */
export function addBackupCommand(program: Command): void {
  const command = program
    .command('backup')
    .argument(
      '<place>',
      'folder to write into, made if it is not there; or a new file, NAME.tar',
      parseFilled,
    )
    .description(
      'save the manifest and every body that it names into a folder or a tar file, while the node serves',
    );
  withOperatorOptions(command)
    .option('--concurrency <n>', 'bodies at once', parseCount, HOUSE_CONCURRENCY)
    .addHelpText(
      'after',
      `
Into a folder with an earlier backup only what is new is written; until the end the earlier one stays good.
Exit code 1 if a body failed: run it again then.

Example:
  caje backup /mnt/backup/caje
  caje backup /mnt/backup/caje.tar`,
    )
    .action(async (place: string, options: BackupOptions) => {
      process.exitCode = await backup(place, options);
    });
}

async function backup(place: string, options: BackupOptions): Promise<number> {
  const { config, json = false, concurrency } = options;
  const input = { place: resolve(place), isFile: place.endsWith('.tar'), concurrency };
  await using operator = await openOperator(config);
  const total = ProgressBar.isSeen ? await operator.call('backup-total', houseTotal) : undefined;
  using rows = new BodyRows({ json, verb: 'saved', total });
  const stopped = await stoppable(async (signal) => {
    for await (const row of operator.stream('backup', bodyRow, input, { signal }))
      await rows.take(row);
  });
  return rows.sum(stopped);
}
