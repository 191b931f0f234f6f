import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Bench, numberOf, type Row, type Settings, tempFolder } from './support/bench.ts';
import { fillAll, PATH_BYTES, pathOf } from './support/fill-all.ts';
import { expectOk, getOnce } from './support/keep-alive-client.ts';
import { cpuSeconds } from './support/process-tree.ts';
import { settle } from './support/settle.ts';
import { startCaje } from './support/start-caje.ts';
import { startNginxOrigin } from './support/start-nginx.ts';
import { expectHit } from './support/until-hit.ts';

const CONNECTIONS = 32;
const READY_PATH = '/_caje/readyz';
/** What a node with 100,000 entries is given to be ready. */
const TARGET_MS = 5000;

interface Start {
  readonly readyMs: number;
  /** Until a stored body was answered from the store. Absent: there is none. */
  readonly hitMs: number | undefined;
  readonly cpu: number;
}

/** Time from the start of the process to its first answers. */
export const startup: Bench = {
  name: 'startup',
  question:
    'Milliseconds from spawn until the node is ready (and until it answers a stored body), with an empty store and with many entries.',
  settings: { rounds: '5', entries: '100000' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startNginxOrigin(join(folder, 'origin'), PATH_BYTES));
  const entries = numberOf(settings, 'entries');
  const full = join(folder, 'full');
  await fillStore(full, origin.url, entries);
  const empty: Start[] = [];
  const filled: Start[] = [];
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    const fresh = join(folder, 'empty');
    empty.push(await start(fresh, origin.url, undefined));
    await rm(fresh, { recursive: true, force: true });
    // Another object each time: what it reads is not in a memory that an earlier start has warmed.
    filled.push(await start(full, origin.url, pathOf((round * 7919) % entries)));
  }
  const target = { atMost: TARGET_MS };
  const row = (peer: string, starts: readonly Start[]): Row => {
    const rounds = starts.map(({ readyMs }) => readyMs);
    return {
      peer,
      figure: 'ms until ready',
      rounds,
      cpuSeconds: starts.reduce((sum, { cpu }) => sum + cpu, 0) / starts.length,
      comparison: { what: 'ms at most', value: Math.max(...rounds), target },
      note: 'CPU s per start',
    };
  };
  return [
    row('caje, empty', empty),
    row(`caje, ${entries} entries`, filled),
    {
      peer: `caje, ${entries} entries`,
      figure: 'ms until the first hit',
      rounds: filled.map(({ hitMs }) => hitMs ?? 0),
    },
  ];
}

async function fillStore(folder: string, url: string, count: number): Promise<void> {
  await using node = await startCaje({ folder, fetcher: { type: 'origin', url } });
  await fillAll({ url: node.url, from: 0, count, connections: CONNECTIONS });
  await settle(node.pid);
}

async function start(folder: string, url: string, stored: string | undefined): Promise<Start> {
  const startedAt = performance.now();
  await using node = await startCaje({ folder, fetcher: { type: 'origin', url } });
  while ((await getReady(node.url)) !== 200) await delay(5);
  const readyMs = performance.now() - startedAt;
  if (stored !== undefined) expectHit(expectOk(await getOnce(node.url, stored), stored), stored);
  const hitMs = stored === undefined ? undefined : performance.now() - startedAt;
  return { readyMs, hitMs, cpu: cpuSeconds(node.pid) };
}

async function getReady(url: string): Promise<number> {
  const response = await fetch(url + READY_PATH);
  await response.body?.cancel();
  return response.status;
}
