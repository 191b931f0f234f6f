import { join } from 'node:path';
import type { Command } from 'commander';
import { ProxyError } from '../errors.ts';
import { callControl } from '../http/control-client.ts';
import { type ReloadReport, reloadReport } from '../reload-schemas.ts';
import { type OperatorOptions, withOperatorOptions } from './command-options.ts';
import { isAnswering } from './operator.ts';
import { plain, print } from './terminal.ts';

/** `caje config reload`. */
export function addConfigReloadCommand(config: Command): void {
  const command = config
    .command('reload')
    .description('let the running node load it again; what is wrong with it changes nothing');
  withOperatorOptions(command)
    .addHelpText(
      'after',
      `
As SIGHUP does: requests that came before end as they began, later ones go by the new rules. Rules, fetchers,
stashers, trustedProxies, drain, log.level and cluster.tokens change; any other key needs a restart.

Example:
  caje config reload --config caje.yaml`,
    )
    .action(reload);
}

async function reload({ config: file, json }: OperatorOptions): Promise<void> {
  const { loadNode } = await import('./load.ts');
  const { config } = await loadNode(file);
  const socket = join(config.data, 'control.sock');
  if (!(await isAnswering(socket)))
    throw new ProxyError('unavailable', 'config.reload', `no node runs with ${config.data}`);
  const report = reloadReport.parse(await callControl(socket, 'config-reload'));
  if (json) print(JSON.stringify(report));
  else show(report);
}

function show({ source, changed, restart, rules, off }: ReloadReport): void {
  const count = `${rules} ${rules === 1 ? 'rule' : 'rules'}`;
  print(`${source}: loaded again, ${count}${changed.length === 0 ? ', nothing changed' : ''}`);
  for (const key of changed) print(plain(`  changed: ${key}`));
  for (const key of restart) print(plain(`  needs a restart: ${key}`));
  for (const { rule, why } of off) print(plain(`  ${rule} is off, because ${why}`));
}
