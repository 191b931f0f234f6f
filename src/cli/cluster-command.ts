import { join } from 'node:path';
import type { Command } from 'commander';
import { type ClusterNodeRow, clusterNodeRow } from '../cluster-schemas.ts';
import { ProxyError } from '../errors.ts';
import { callControl } from '../http/control-client.ts';
import {
  type OperatorOptions,
  parseCount,
  parseTime,
  withOperatorOptions,
} from './command-options.ts';
import { isAnswering } from './operator.ts';
import { EXIT, print, TableWriter } from './terminal.ts';

interface StatusOptions extends OperatorOptions {
  /** Changes. */
  readonly maxBehind: number;
  /** Milliseconds. */
  readonly timeout: number;
}

const MAX_BEHIND = 1000;
const TIMEOUT_MS = 2000;

/** `caje cluster status`. */
export function addClusterCommand(program: Command): void {
  const command = program.command('cluster').description('the nodes that work together');
  withOperatorOptions(
    command
      .command('status')
      .description('who is there, who writes, and how far behind the others are'),
  )
    .option(
      '--max-behind <n>',
      'changes that a node may be behind the primary',
      parseCount,
      MAX_BEHIND,
    )
    .option('--timeout <duration>', 'longest wait for each node', parseTime, TIMEOUT_MS)
    .addHelpText(
      'after',
      `
Asks the running node, which asks every node that it or another one knows of. Exit code 1 if one is down, not in step with
the primary, or further behind than --max-behind.

Example:
  caje cluster status --json`,
    )
    .action(async (options: StatusOptions) => {
      process.exitCode = await status(options);
    });
}

async function status({ config, json, maxBehind, timeout }: StatusOptions): Promise<number> {
  const { loadNode } = await import('./load.ts');
  const socket = join((await loadNode(config)).config.data, 'control.sock');
  if (!(await isAnswering(socket)))
    throw new ProxyError('unavailable', 'cluster.status', 'no node runs with this configuration');
  const answer = await callControl(socket, 'cluster-status', { timeoutMs: timeout });
  const rows = clusterNodeRow.array().safeParse(answer);
  if (!rows.success)
    throw new ProxyError(
      'unsupported',
      'cluster.status',
      'the running node answers in another form: it is of another version than this command',
      { cause: rows.error },
    );
  if (json) for (const row of rows.data) print(JSON.stringify(row));
  else show(rows.data);
  return rows.data.every((row) => isWell(row, maxBehind)) ? EXIT.done : EXIT.failed;
}

function isWell({ state, status, behind }: ClusterNodeRow, maxBehind: number): boolean {
  if (state === 'down') return false;
  if (behind === undefined) return status?.replication !== 'replica';
  return behind.changes !== undefined && behind.changes <= maxBehind;
}

function show(rows: readonly ClusterNodeRow[]): void {
  const table = new TableWriter(
    [
      ['node', 30],
      ['id', 21],
      ['version', 10],
      ['roles', 22],
      ['state', 8],
      ['in replication', 14],
      ['lock', 7],
      ['behind', 26],
    ].map(([title, width]) => ({ title: String(title), width: Number(width) })),
  );
  for (const row of rows) {
    const { url, self, state, status } = row;
    table.row([
      `${url === '' ? 'no peer listener' : url}${self ? ' *' : ''}`,
      status?.nodeId ?? '',
      status?.version ?? '',
      status?.roles.join(',') ?? '',
      state,
      status?.replication ?? '',
      status?.lock ?? '',
      behindText(row),
    ]);
  }
  print();
  for (const row of rows) {
    const { url, self, problem, status } = row;
    const name = url === '' && self ? 'this node' : url;
    if (problem !== undefined) print(`${name}: ${problem}`);
    if (status?.trusted === false) print(`${name}: its rows are not used yet`);
    for (const [namespace, { cursor }] of Object.entries(status?.positions ?? {}))
      print(`${name}: ${namespace} at ${cursor}`);
    if (status?.litefs === undefined) continue;
    const { txid, lagMs, primary } = status.litefs;
    const heard = lagMs === undefined ? 'never in step' : `primary heard of ${lagMs} ms ago`;
    print(`${name}: LiteFS at transaction ${txid}, ${primary === '' ? 'no other primary' : heard}`);
  }
}

function behindText({ behind, status }: ClusterNodeRow): string {
  if (behind === undefined) return status?.replication === 'replica' ? 'no primary is known' : '';
  const { changes, ms, transactions } = behind;
  if (changes === undefined) return 'another epoch';
  const most = changes === 0 ? 'level' : `${changes} changes, ${ms} ms`;
  return transactions === undefined || transactions === 0 ? most : `${most}, ${transactions} txn`;
}
