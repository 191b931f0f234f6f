import type { Command } from 'commander';
import { counterValues } from '../operator-schemas.ts';
import { type OperatorOptions, withOperatorOptions } from './command-options.ts';
import { openOperator } from './operator.ts';
import { print, TableWriter, warn } from './terminal.ts';

/** `caje counters`. */
export function addCountersCommand(program: Command): void {
  const about = 'print what was counted since the node started';
  withOperatorOptions(program.command('counters').description(about))
    .addHelpText('after', '\nExample:\n  caje counters --json')
    .action(counters);
}

async function counters({ config, json }: OperatorOptions): Promise<void> {
  await using operator = await openOperator(config);
  const values = await operator.call('counters', counterValues);
  if (!operator.online) warn('no node runs here, so nothing was counted');
  if (json) {
    print(JSON.stringify(values));
    return;
  }
  const rows = Object.entries(values);
  const table = new TableWriter([
    { title: 'counter', width: Math.max(7, ...rows.map(([name]) => name.length)) },
    { title: 'value', width: 0 },
  ]);
  for (const [name, value] of rows) table.row([name, String(value)]);
}
