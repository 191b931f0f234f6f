import type { Command } from 'commander';
import { ProxyError } from '../errors.ts';
import type { PurgeResult } from '../manifest/manifest.ts';
import { purgeResult } from '../operator-schemas.ts';
import { type OperatorOptions, parseFilled, withOperatorOptions } from './command-options.ts';
import { openOperator, warnOfUnknownRule } from './operator.ts';
import { print } from './terminal.ts';

interface PurgeOptions extends OperatorOptions {
  readonly prefix?: string | undefined;
  readonly rule?: string | undefined;
  readonly tag?: readonly string[] | undefined;
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
    .option('--tag <tag>', 'everything that the origin gave this tag; may be repeated', addFilled)
    .option('--all', 'everything')
    .option('--soft', 'make them stale instead: they are kept if the origin confirms them')
    .option('--namespace <name>', 'only there', parseFilled)
    .addHelpText(
      'after',
      `
Examples:
  caje purge http://www.example.com/index.html
  caje purge --prefix http://www.example.com/assets/ --soft
  caje purge --tag article-7 --tag front-page`,
    )
    .action(purge);
}

/** What purging did, and how many entries went with each tag: one with two of them goes with the first. */
interface TagsPurged extends PurgeResult {
  readonly tags?: Readonly<Record<string, number>> | undefined;
}

// In one row of the journal each, so that a node that was away takes them up like any other purge.
async function purgeTags(
  tags: readonly string[],
  call: (what: object) => Promise<PurgeResult>,
): Promise<TagsPurged> {
  let entries = 0;
  let jids: PurgeResult['jids'] = {};
  const byTag: Record<string, number> = {};
  for (const tag of tags) {
    const one = await call({ kind: 'tag', value: tag });
    byTag[tag] = one.entries;
    entries += one.entries;
    jids = { ...jids, ...one.jids };
  }
  return { entries, jids, tags: byTag };
}

function addFilled(value: string, before: readonly string[] = []): string[] {
  return [...before, parseFilled(value)];
}

async function purge(key: string | undefined, options: PurgeOptions): Promise<void> {
  const { prefix, rule, tag = [], all, soft = false, namespace } = options;
  const wanted = [
    ...(key === undefined ? [] : [{ kind: 'key', value: key }]),
    ...(prefix === undefined ? [] : [{ kind: 'prefix', value: prefix }]),
    ...(rule === undefined ? [] : [{ kind: 'rule', value: rule }]),
    ...(all ? [{ kind: 'all', value: '' }] : []),
  ];
  const [one] = wanted;
  if (wanted.length + Math.min(tag.length, 1) !== 1)
    throw new ProxyError(
      'invalid',
      'purge',
      'expected one of: a key, --prefix, --rule, --tag or --all',
    );
  await using operator = await openOperator(options.config);
  const call = async (what: object): Promise<PurgeResult> =>
    await operator.call('purge', purgeResult, { ...what, soft, namespace });
  const result: TagsPurged = one ? await call(one) : await purgeTags([...new Set(tag)], call);
  if (options.json) {
    print(JSON.stringify(result));
    return;
  }
  const { entries, tags = {} } = result;
  const what = soft ? 'made stale' : 'purged';
  const counted = (count: number): string => `${count} ${count === 1 ? 'entry' : 'entries'}`;
  print(`${what}: ${counted(entries)}`);
  const named = Object.entries(tags);
  for (const [name, count] of named.length > 1 ? named : []) print(`  ${name}: ${counted(count)}`);
  if (entries === 0) warnOfUnknownRule(operator.config, rule);
}
