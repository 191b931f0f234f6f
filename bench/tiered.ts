import { join } from 'node:path';
import {
  type Bench,
  numberOf,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { expectOk, KeepAliveClient } from './support/keep-alive-client.ts';
import { cpuSeconds } from './support/process-tree.ts';
import { startCaje } from './support/start-caje.ts';
import type { Server } from './support/start-process.ts';
import { startScript } from './support/start-script.ts';
import { untilHit } from './support/until-hit.ts';
import { wrk } from './support/wrk.ts';

/** Whole in the node's database, one block, and many. Bytes. */
const SIZES = [20_000, 700_000, 10_000_000];
const KB = 1000;
const TARGET = 0.95;

interface Peer {
  readonly peer: string;
  readonly server: Server;
  /** By size. */
  readonly perCpuSecond: ReadonlyMap<number, number[]>;
}

/** What a near store costs beside the same disk alone. */
export const tiered: Bench = {
  name: 'tiered',
  question:
    'Hits of a near disk before a far one beside hits of a disk alone, in kB per CPU second of the node, with no body in memory.',
  settings: { rounds: '5', seconds: '3', connections: '8' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('timed-origin'));
  const fetcher = { type: 'origin', url: origin.url };
  const memory = { bodies: 0 };
  const start = async (peer: string, config: Readonly<Record<string, unknown>>): Promise<Peer> => ({
    peer,
    server: stack.use(
      await startCaje({ folder: join(folder, peer), fetcher, config: { memory, ...config } }),
    ),
    perCpuSecond: new Map(SIZES.map((size) => [size, []])),
  });
  const disk = await start('disk', {});
  const tiers = await start('tiered', {
    storage: {
      near: { type: 'disk', path: 'blobs' },
      far: { type: 'disk', path: 'far' },
      both: { type: 'tiered', near: 'near', far: 'far' },
    },
    stashers: { keep: { type: 'store', backend: 'both' } },
  });
  const peers = [disk, tiers];
  for (const { server } of peers) {
    const client = await KeepAliveClient.connect(server.url);
    for (const size of SIZES) {
      expectOk(await client.get(pathOf(size)), pathOf(size));
      await untilHit(client, pathOf(size));
    }
    client.close();
  }
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    for (const size of SIZES) for (const peer of peers) await measure(peer, size, settings);
  }
  return SIZES.flatMap((size) => peers.map((peer) => rowOf(peer, disk, size)));
}

async function measure(
  { server, perCpuSecond }: Peer,
  size: number,
  settings: Settings,
): Promise<void> {
  const before = cpuSeconds(server.pid);
  const { bytes } = await wrk({
    url: server.url + pathOf(size),
    connections: numberOf(settings, 'connections'),
    seconds: numberOf(settings, 'seconds'),
  });
  perCpuSecond.get(size)?.push(bytes / KB / (cpuSeconds(server.pid) - before));
}

function pathOf(size: number): string {
  return `/full/${size}/tiered`;
}

function rowOf({ peer, perCpuSecond }: Peer, disk: Peer, size: number): Row {
  const rounds = perCpuSecond.get(size) ?? [];
  const beside = disk.perCpuSecond.get(size) ?? [];
  return {
    peer,
    figure: `kB/CPU s, ${size} bytes`,
    rounds,
    ...(rounds !== beside && {
      comparison: { what: '× disk', value: ratio(rounds, beside), target: { atLeast: TARGET } },
    }),
  };
}
