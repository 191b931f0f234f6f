import type { Command } from 'commander';
import { type PrimaryReport, primaryReport } from '../primary-handlers.ts';
import { type OperatorOptions, parseFilled, withOperatorOptions } from './command-options.ts';
import { openOperator } from './operator.ts';
import { print } from './terminal.ts';

interface PromoteOptions extends OperatorOptions {
  readonly url?: string | undefined;
  readonly force?: boolean | undefined;
}

/** `caje primary` and `caje primary promote`. */
export function addPrimaryCommand(program: Command): void {
  const command = program
    .command('primary')
    .description('which node writes the manifest; make this one do it');
  withOperatorOptions(
    command.command('show', { isDefault: true }).description('say who the primary is'),
  ).action(async ({ config, json }: OperatorOptions) => {
    await using operator = await openOperator(config);
    show(await operator.call('primary', primaryReport), json);
  });
  withOperatorOptions(
    command.command('promote').description('from now on this node writes the manifest'),
  )
    .option(
      '--url <url>',
      'where others find its peer listener; default: as it listens',
      parseFilled,
    )
    .option('--force', 'also where this node has not all rows yet')
    .addHelpText(
      'after',
      `
What the former primary wrote and this node has not brought in is lost: it is fetched again when it is
asked for. The former primary steps down as soon as it hears of it. Promote one node only.

Example:
  caje primary promote --url http://10.0.0.2:8180`,
    )
    .action(async ({ config, json, url = '', force = false }: PromoteOptions) => {
      await using operator = await openOperator(config);
      show(await operator.call('primary-promote', primaryReport, { url, force }), json);
    });
}

function show(report: PrimaryReport, json: boolean | undefined): void {
  if (json) {
    print(JSON.stringify(report));
    return;
  }
  const { node, role, term, primary, url, trusted, followers } = report;
  if (role === 'primary') print(`${node} is the primary, term ${term}`);
  else if (primary === '') print(`${node} has not found its primary yet`);
  else print(`${node} follows ${primary}${url === '' ? '' : ` at ${url}`}, term ${term}`);
  if (!trusted) print('its rows are not used yet: what was purged meanwhile may be among them');
  for (const follower of followers) {
    const at = Object.entries(follower.positions).map(([name, jid]) => `${name} ${jid}`);
    print(`  ${follower.node} ${follower.url} has ${at.join(', ') || 'nothing yet'}`);
  }
}
