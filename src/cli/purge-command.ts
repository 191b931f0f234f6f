import type { Command } from 'commander';
import { ProxyError } from '../errors.ts';
import { purgeResult } from '../operator-schemas.ts';
import { type OperatorOptions, parseFilled, withOperatorOptions } from './command-options.ts';
import { openOperator, warnOfUnknownRule } from './operator.ts';
import { print } from './terminal.ts';

interface PurgeOptions extends OperatorOptions {
  readonly prefix?: string | undefined;
  readonly rule?: string | undefined;
  readonly all?: boolean | undefined;
  readonly soft?: boolean | undefined;
  readonly namespace?: string | undefined;
}

/** `caje purge`. */
export function addPurgeCommand(program: Command): void {
  const command = program
    .command('purge')
    .argument('[key]', 'as ls shows it', parseFilled)
    .description('make stored answers go away; from the end of the command on none is served');
  withOperatorOptions(command)
    .option('--prefix <key>', 'every key that begins with it', parseFilled)
    .option('--rule <name>', 'everything that this rule stored', parseFilled)
    .option('--all', 'everything')
    .option('--soft', 'make them stale instead: they are kept if the origin confirms them')
    .option('--namespace <name>', 'only there', parseFilled)
    .addHelpText(
      'after',
      `
Examples:
  caje purge http://www.example.com/index.html
  caje purge --prefix http://www.example.com/assets/ --soft`,
    )
    .action(purge);
}

async function purge(key: string | undefined, options: PurgeOptions): Promise<void> {
  const { prefix, rule, all, soft = false, namespace } = options;
  const wanted = [
    ...(key === undefined ? [] : [{ kind: 'key', value: key }]),
    ...(prefix === undefined ? [] : [{ kind: 'prefix', value: prefix }]),
    ...(rule === undefined ? [] : [{ kind: 'rule', value: rule }]),
    ...(all ? [{ kind: 'all', value: '' }] : []),
  ];
  const [one] = wanted;
  if (!one || wanted.length > 1)
    throw new ProxyError('invalid', 'purge', 'expected one of: a key, --prefix, --rule or --all');
  await using operator = await openOperator(options.config);
  const result = await operator.call('purge', purgeResult, { ...one, soft, namespace });
  if (options.json) {
    print(JSON.stringify(result));
    return;
  }
  const { entries } = result;
  const what = soft ? 'made stale' : 'purged';
  print(`${what}: ${entries} ${entries === 1 ? 'entry' : 'entries'}`);
  if (entries === 0) warnOfUnknownRule(operator.config, rule);
}
