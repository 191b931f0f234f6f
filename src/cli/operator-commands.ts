import { type Command, InvalidArgumentError } from 'commander';
import { ProxyError } from '../errors.ts';
import type { JournalPage, PurgeResult } from '../manifest/manifest.ts';
import type { EntryRow, VerifyRow } from '../operator-schemas.ts';
import type { Run } from './config-commands.ts';
import { openOperator } from './operator.ts';
import { progressBar } from './progress.ts';
import { EXIT, humanSize, humanSpan, print, table } from './terminal.ts';

interface Common {
  readonly config?: string | undefined;
  readonly json?: boolean | undefined;
}

interface LsOptions extends Common {
  readonly namespace?: string | undefined;
  readonly prefix?: string | undefined;
  readonly rule?: string | undefined;
  readonly limit?: number | undefined;
}

interface PurgeOptions extends Common {
  readonly prefix?: string | undefined;
  readonly rule?: string | undefined;
  readonly all?: boolean | undefined;
  readonly soft?: boolean | undefined;
  readonly namespace?: string | undefined;
}

/** `caje ls | journal | purge | verify | counters`. */
export function addOperatorCommands(program: Command, run: Run): void {
  common(program.command('ls').description('list what is kept'))
    .option('--prefix <key>', 'only keys that begin with it')
    .option('--rule <name>', 'only what this rule stored')
    .option('--namespace <name>', 'only this namespace, such as web or go')
    .option('--limit <n>', 'at most this many', count)
    .addHelpText('after', '\nExample:\n  caje ls --prefix http://www.example.com/')
    .action(async (options: LsOptions) => await run(async () => await ls(options)));
  common(program.command('journal').description('list the changes of a namespace'))
    .option('--namespace <name>', 'whose changes', 'web')
    .option('--since <cursor>', 'only what came after it', '')
    .option('--limit <n>', 'at most this many', count, 1_000)
    .action(async (options: Common & object) => await run(async () => await journal(options)));
  common(
    program
      .command('purge')
      .argument('[key]', 'as ls shows it')
      .description('make stored answers go away'),
  )
    .option('--prefix <key>', 'every key that begins with it')
    .option('--rule <name>', 'everything that this rule stored')
    .option('--all', 'everything')
    .option('--soft', 'make them stale instead')
    .option('--namespace <name>', 'only there')
    .addHelpText('after', '\nExample:\n  caje purge --prefix http://www.example.com/assets/')
    .action(
      async (key: string | undefined, options: PurgeOptions) =>
        await run(async () => await purge(key, options)),
    );
  common(
    program
      .command('verify')
      .description(
        'read every body against its digest; what is bad is dropped and fetched again when asked for',
      ),
  )
    .option('--storage <name>', 'only this store')
    .action(
      async (options: Common & { storage?: string }) =>
        await run(async () => await verify(options)),
    );
  common(
    program.command('counters').description('print what was counted since the node started'),
  ).action(async (options: Common) => await run(async () => await counters(options)));
}

function common(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration whose node or data folder is meant')
    .option('--json', 'for programs');
}

async function ls({ config, json, ...input }: LsOptions): Promise<number> {
  await using operator = await openOperator(config);
  const rows: string[][] = [];
  for await (const item of operator.stream('ls', input)) {
    const row = item as EntryRow;
    if (json) print(JSON.stringify(row));
    else
      rows.push([
        row.state,
        humanSize(row.size),
        humanSpan(row.ageSeconds),
        humanSpan(row.freshSeconds),
        row.rule,
        row.variant === '' ? row.key : `${row.key} (variant ${row.variant.slice(0, 8)})`,
      ]);
  }
  if (json) return EXIT.done;
  if (rows.length === 0) print('nothing is kept');
  else print(table(['state', 'size', 'age', 'fresh', 'rule', 'key'], rows));
  return EXIT.done;
}

async function journal({ config, json, ...input }: Common & object): Promise<number> {
  await using operator = await openOperator(config);
  const page = (await operator.call('journal', input)) as JournalPage;
  if (json) print(JSON.stringify(page));
  else {
    const rows = page.rows.map((row) => [
      String(row.jid),
      row.op,
      new Date(row.at).toISOString(),
      row.actor,
      row.key,
    ]);
    print(table(['jid', 'change', 'at', 'by', 'key'], rows));
    print(`\ngo on with: --since ${page.cursor}`);
  }
  return EXIT.done;
}

async function purge(key: string | undefined, options: PurgeOptions): Promise<number> {
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
  const result = (await operator.call('purge', { ...one, soft, namespace })) as PurgeResult;
  if (options.json) print(JSON.stringify(result));
  else
    print(
      `${soft ? 'made stale' : 'purged'}: ${result.entries} ${result.entries === 1 ? 'entry' : 'entries'}`,
    );
  return EXIT.done;
}

async function verify({ config, json, storage }: Common & { storage?: string }): Promise<number> {
  await using operator = await openOperator(config);
  let bad = 0;
  let bytes = 0;
  const bar = progressBar('verified', json !== true);
  for await (const item of operator.stream('verify', { storage })) {
    const row = item as VerifyRow;
    bytes += row.size;
    bar.step(`${humanSize(bytes)}`);
    if (!row.ok) bad += 1;
    if (json) print(JSON.stringify(row));
    else if (!row.ok) bar.say(`bad: ${row.digest} in ${row.storage}: ${row.problem}`);
  }
  bar.stop();
  if (!json) print(`${bar.count} bodies, ${humanSize(bytes)}, ${bad} bad`);
  return bad === 0 ? EXIT.done : EXIT.failed;
}

async function counters({ config, json }: Common): Promise<number> {
  await using operator = await openOperator(config);
  const values = (await operator.call('counters')) as Record<string, number>;
  if (json) print(JSON.stringify(values));
  else
    print(
      table(
        ['counter', 'value'],
        Object.entries(values).map(([name, value]) => [name, String(value)]),
      ),
    );
  return EXIT.done;
}

function count(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1)
    throw new InvalidArgumentError('expected a whole number from 1.');
  return number;
}
