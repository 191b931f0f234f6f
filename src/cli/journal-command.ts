import type { Command } from 'commander';
import { journalPage } from '../operator-schemas.ts';
import {
  type OperatorOptions,
  parseCount,
  parseFilled,
  withOperatorOptions,
} from './command-options.ts';
import { openOperator } from './operator.ts';
import { print, TableWriter } from './terminal.ts';

interface JournalOptions extends OperatorOptions {
  readonly namespace: string;
  readonly since: string;
  readonly limit: number;
}

const LIMIT = 1_000;

/** `caje journal`. */
export function addJournalCommand(program: Command): void {
  withOperatorOptions(program.command('journal').description('list the changes of a namespace'))
    .option('--namespace <name>', 'whose changes', parseFilled, 'web')
    .option('--since <cursor>', 'only what came after it', '')
    .option('--limit <n>', 'at most this many', parseCount, LIMIT)
    .addHelpText('after', '\nExample:\n  caje journal --namespace go --since 0b13c4d3f71a6506:42')
    .action(journal);
}

async function journal({ config, json, ...input }: JournalOptions): Promise<void> {
  await using operator = await openOperator(config);
  const page = await operator.call('journal', journalPage, input);
  if (json) {
    print(JSON.stringify(page));
    return;
  }
  const table = new TableWriter([
    { title: 'jid', width: Math.max(3, String(page.rows.at(-1)?.jid ?? '').length) },
    { title: 'change', width: 7 },
    { title: 'at', width: 24 },
    { title: 'by', width: Math.max(2, ...page.rows.map(({ actor }) => actor.length)) },
    { title: 'key', width: 0 },
  ]);
  for (const { jid, op, at, actor, key } of page.rows)
    table.row([String(jid), op, new Date(at).toISOString(), actor, key]);
  if (table.rows === 0) print('nothing changed');
  if (page.cursor !== '') print(`\ngo on with: --since ${page.cursor}`);
}
