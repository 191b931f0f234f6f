import { join } from 'node:path';
import { ENTRY_BYTES } from '../src/storage/eviction.ts';
import {
  type Bench,
  numberOf,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { fillAll, pathOf } from './support/fill-all.ts';
import { getOnce } from './support/keep-alive-client.ts';
import { cpuSecondsFor } from './support/settle.ts';
import { startCaje } from './support/start-caje.ts';
import type { Server } from './support/start-process.ts';
import { startScript } from './support/start-script.ts';
import { expectHit, isHit } from './support/until-hit.ts';

/** In the node's database, and in a file. Bytes. */
const SIZES = [1024, 256 * 1024];
const TARGET = 0.9;

interface Peer {
  readonly peer: string;
  readonly server: Server;
  readonly hasQuota: boolean;
  readonly perCpuSecond: number[];
  readonly perSecond: number[];
  cpu: number;
}

/** What it costs that each body has to make room for itself. */
export const eviction: Bench = {
  name: 'eviction',
  question:
    'Distinct objects fetched, answered and kept, each once, into a disk at its quota, where each fill evicts, beside one without a quota: per CPU second of the process tree (until it has settled) and per second.',
  settings: { rounds: '5', small: '10000', medium: '2000', connections: '16' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  const rows: Row[] = [];
  const counts = [numberOf(settings, 'small'), numberOf(settings, 'medium')];
  for (const [at, size] of SIZES.entries()) {
    rows.push(...(await measure(size, counts[at] as number, settings)));
  }
  return rows;
}

async function measure(size: number, count: number, settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('distinct-origin'));
  const start = async (peer: string, quota: { maxBytes?: number }): Promise<Peer> => {
    const hasQuota = quota.maxBytes !== undefined;
    const server = await startCaje({
      folder: join(folder, peer),
      fetcher: { type: 'origin', url: origin.url },
      config: { storage: { local: { type: 'disk', path: 'blobs', ...quota } } },
    });
    return { peer, server: stack.use(server), hasQuota, perCpuSecond: [], perSecond: [], cpu: 0 };
  };
  const maxBytes = count * (size + ENTRY_BYTES);
  const peers = [await start('no quota', {}), await start('at its quota', { maxBytes })];
  const connections = numberOf(settings, 'connections');
  const prefix = `/${size}`;
  for (let round = 0; round <= numberOf(settings, 'rounds'); round++) {
    const from = round * count;
    for (const peer of peers) {
      const { pid, url } = peer.server;
      let seconds = 0;
      const used = await cpuSecondsFor(pid, async () => {
        const startedAt = performance.now();
        await fillAll({ url, from, count, connections, prefix });
        seconds = (performance.now() - startedAt) / 1000;
      });
      // The first one fills the quota and warms up.
      if (round === 0) continue;
      peer.cpu += used;
      peer.perCpuSecond.push(count / used);
      peer.perSecond.push(count / seconds);
      await check(peer, prefix + pathOf(from + count - 1), prefix + pathOf(from - count));
    }
  }
  return rowsOf(peers, size);
}

/** Throws unless the newest is kept, and what a round before put is gone just where there is a quota. */
async function check({ server, hasQuota }: Peer, newest: string, old: string): Promise<void> {
  expectHit(await getOnce(server.url, newest), newest);
  if (isHit(await getOnce(server.url, old)) === hasQuota) {
    throw new Error(`${old} is ${hasQuota ? 'still' : 'no longer'} kept`);
  }
}

function rowsOf(peers: readonly Peer[], size: number): readonly Row[] {
  const [reference] = peers as readonly [Peer, ...Peer[]];
  return peers.flatMap((peer): Row[] => {
    const { hasQuota, perCpuSecond, perSecond, cpu } = peer;
    const figure = (unit: string): string => `fills/${unit} of ${size / 1024} KiB`;
    const compared = (value: number): Row['comparison'] =>
      hasQuota ? { what: '× no quota', value, target: { atLeast: TARGET } } : undefined;
    return [
      {
        peer: peer.peer,
        figure: figure('CPU s'),
        rounds: perCpuSecond,
        cpuSeconds: cpu,
        comparison: compared(ratio(perCpuSecond, reference.perCpuSecond)),
      },
      {
        peer: peer.peer,
        figure: figure('s'),
        rounds: perSecond,
        comparison: compared(ratio(perSecond, reference.perSecond)),
      },
    ];
  });
}
