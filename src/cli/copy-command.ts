import type { Command } from 'commander';
import type { Config } from '../config/config.ts';
import { ProxyError } from '../errors.ts';
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

interface CopyOptions extends OperatorOptions {
  readonly from: string;
  readonly to: string;
  readonly concurrency: number;
}

/** `caje copy`. */
export function addCopyCommand(program: Command): void {
  const command = program
    .command('copy')
    .description('copy the bodies of one storage to another, to move house');
  withOperatorOptions(command)
    .requiredOption('--from <name>', 'storage to read', parseFilled)
    .requiredOption('--to <name>', 'storage to write; rules need not use it yet', parseFilled)
    .option('--concurrency <n>', 'bodies at once', parseCount, HOUSE_CONCURRENCY)
    .addHelpText(
      'after',
      `
Each body is checked on its way; what is there already is left as it is, so a copy that was stopped goes on when it is
run again. Nothing is removed. Exit code 1 if a body failed.

Example:
  caje copy --from local --to bucket`,
    )
    .action(async (options: CopyOptions) => {
      process.exitCode = await copy(options);
    });
}

async function copy({ config, json = false, ...input }: CopyOptions): Promise<number> {
  await using operator = await openOperator(config);
  if (!operator.online) refuseMemory(operator.config, input);
  const total = ProgressBar.isSeen
    ? await operator.call('copy-total', houseTotal, input)
    : undefined;
  using rows = new BodyRows({ json, verb: 'copied', total });
  const stopped = await stoppable(async (signal) => {
    for await (const row of operator.stream('copy', bodyRow, input, { signal }))
      await rows.take(row);
  });
  return rows.sum(stopped);
}

// It would be this process's memory, and gone with it.
function refuseMemory({ storage }: Config, { from, to }: Pick<CopyOptions, 'from' | 'to'>): void {
  for (const name of [from, to]) {
    if (storage.get(name)?.type === 'memory')
      throw new ProxyError(
        'invalid',
        'copy',
        `storage ${name} is memory of a running node, and none runs`,
      );
  }
}
