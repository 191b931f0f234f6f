import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { ProxyError } from '../errors.ts';
import { HOUSE_CONCURRENCY } from '../house-schemas.ts';
import { createLogger } from '../log.ts';
import { BodyRows } from './body-rows.ts';
import {
  type OperatorOptions,
  parseCount,
  parseFilled,
  withOperatorOptions,
} from './command-options.ts';
import { isAnswering } from './operator.ts';
import { ProgressBar } from './progress-bar.ts';
import { stoppable } from './stoppable.ts';

interface RestoreOptions extends OperatorOptions {
  readonly concurrency: number;
  readonly partial?: boolean | undefined;
}

/** `caje restore`. */
export function addRestoreCommand(program: Command): void {
  const command = program
    .command('restore')
    .argument('<place>', 'what caje backup wrote', parseFilled)
    .description('make the data folder of a node from a backup; no node may run with it');
  withOperatorOptions(command)
    .option('--partial', 'go on without bodies that are damaged: they are fetched again')
    .option('--concurrency <n>', 'bodies at once', parseCount, HOUSE_CONCURRENCY)
    .addHelpText(
      'after',
      `
Nothing is overwritten: where there is a manifest already, it ends. Bodies go where today's rules keep them, and the manifest
comes last, so a restore that was stopped goes on when it is run again. The journal begins a new epoch.

Example:
  caje restore /mnt/backup/caje --config new.yaml`,
    )
    .action(async (place: string, options: RestoreOptions) => {
      process.exitCode = await restore(place, options);
    });
}

async function restore(place: string, options: RestoreOptions): Promise<number> {
  const { config: file, json = false, concurrency, partial = false } = options;
  const [{ loadNode }, { builtinTypes }, { restoreNode, restoreTotal }] = await Promise.all([
    import('./load.ts'),
    import('../builtin-types.ts'),
    import('../restore-node.ts'),
  ]);
  const loaded = await loadNode(file);
  const { data } = loaded.config;
  if (await isAnswering(join(data, 'control.sock')))
    throw new ProxyError(
      'conflict',
      'restore',
      `a node runs with the data folder ${data}: stop it first`,
    );
  const input = { place: resolve(place), concurrency, partial };
  const total = ProgressBar.isSeen ? await restoreTotal(input) : undefined;
  using rows = new BodyRows({ json, verb: 'restored', total });
  const node = { ...loaded, types: builtinTypes, log: createLogger('warn') };
  const stopped = await stoppable(async (signal) => {
    for await (const row of restoreNode(node, input, { signal })) await rows.take(row);
  });
  // What was left out was left out knowingly.
  return rows.sum(stopped, partial);
}
