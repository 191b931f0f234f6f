import type { Command } from 'commander';
import { type EntryRow, entryRow } from '../operator-schemas.ts';
import {
  type OperatorOptions,
  parseCount,
  parseFilled,
  withOperatorOptions,
} from './command-options.ts';
import { openOperator, warnOfUnknownRule } from './operator.ts';
import { humanSize, humanSpan, print, roomToPrint, TableWriter } from './terminal.ts';

interface LsOptions extends OperatorOptions {
  readonly namespace?: string | undefined;
  readonly prefix?: string | undefined;
  readonly rule?: string | undefined;
  readonly limit?: number | undefined;
}

/** Characters of a variant's digest that tell the few variants of one key apart. */
const VARIANT_SHOWN = 8;

/** `caje ls`. */
export function addLsCommand(program: Command): void {
  withOperatorOptions(program.command('ls').description('list what is kept'))
    .option('--prefix <key>', 'only keys that begin with it')
    .option('--rule <name>', 'only what this rule stored', parseFilled)
    .option('--namespace <name>', 'only this namespace, such as web or go', parseFilled)
    .option('--limit <n>', 'at most this many', parseCount)
    .addHelpText(
      'after',
      `
state: present; stale: asked of the origin again before it is used; missing: the next request fetches it.

Examples:
  caje ls --prefix http://www.example.com/
  caje ls --json --namespace go | wc -l`,
    )
    .action(ls);
}

async function ls({ config, json, ...input }: LsOptions): Promise<void> {
  await using operator = await openOperator(config);
  const { rules } = operator.config;
  const table = new TableWriter([
    { title: 'state', width: 7 },
    { title: 'size', width: 10 },
    { title: 'age', width: 8 },
    { title: 'fresh', width: 8 },
    { title: 'rule', width: Math.max(4, ...rules.map(({ name }) => name.length)) },
    { title: 'key', width: 0 },
  ]);
  for await (const row of operator.stream('ls', entryRow, input)) {
    if (json) print(JSON.stringify(row));
    else table.row(cells(row));
    await roomToPrint();
  }
  if (json || table.rows > 0) return;
  print('nothing is kept');
  warnOfUnknownRule(operator.config, input.rule);
}

function cells(row: EntryRow): string[] {
  return [
    row.state,
    humanSize(row.size),
    humanSpan(row.ageSeconds),
    humanSpan(row.freshSeconds),
    row.rule,
    row.variant === '' ? row.key : `${row.key} (variant ${row.variant.slice(0, VARIANT_SHOWN)})`,
  ];
}
