import { join } from 'node:path';
import { callControl } from '../../src/http/control-client.ts';
import { eventually } from '../criteria/eventually.ts';
import { manifestPath, queryFile } from '../criteria/node-files.ts';
import type { JournalProcesses } from '../support/journal-processes.ts';
import type { NodeProcess } from '../support/node-process.ts';

/** A counter of a node, all its labels summed; asked without a process of its own. */
export async function counterOf({ dataDir }: NodeProcess, name: string): Promise<number> {
  const all = await callControl(join(dataDir, 'control.sock'), 'counters');
  return Object.entries(all as Readonly<Record<string, number>>)
    .filter(([key]) => key === name || key.startsWith(`${name}{`))
    .reduce((sum, [, value]) => sum + value, 0);
}

/** Asks a node and checks every byte; gives X-Cache. Throws for another answer than a whole and right 200. */
export async function askJournal(
  cluster: JournalProcesses,
  index: number,
  path: string,
): Promise<string> {
  const { status, body, headers } = await cluster.get(index, path);
  if (status !== 200) throw new Error(`${path}: node ${index} answered ${status}`);
  const check = cluster.origin.check(path, { size: sizeOf(path) });
  check.write(body);
  check.end();
  return headers.get('X-Cache') ?? '';
}

/** The same where nothing but a hit will do, or nothing but a miss. */
export async function askExpecting(
  cluster: JournalProcesses,
  index: number,
  path: string,
  expected: 'HIT' | 'MISS',
): Promise<void> {
  const cache = await askJournal(cluster, index, path);
  if (cache !== expected) throw new Error(`${path}: node ${index} answered ${cache}`);
}

/** Live rows of a node whose path begins so. */
export function rowsBelow(cluster: JournalProcesses, index: number, prefix: string): number {
  const sql = 'SELECT count(*) AS rows FROM entries WHERE deleted = 0 AND key LIKE ?';
  const path = manifestPath(cluster.node(index));
  return queryFile<{ rows: number }>(path, sql, `%${prefix}%`)[0]?.rows ?? 0;
}

/** Resolves once every node has so many live rows whose path begins so, and all have equal rows. */
export async function untilRows(
  cluster: JournalProcesses,
  prefix: string,
  count: number,
  deadlineMs: number,
): Promise<void> {
  for (const index of cluster.nodes.keys()) {
    await eventually(
      `${count} rows of ${prefix} on node ${index}`,
      () => rowsBelow(cluster, index, prefix) === count,
      deadlineMs,
    );
  }
  await cluster.level();
}

function sizeOf(path: string): number {
  return Number(new URL(path, 'http://x').searchParams.get('size') ?? 1024);
}
