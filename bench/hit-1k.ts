import { join } from 'node:path';
import {
  type Bench,
  numberOf,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { KeepAliveClient } from './support/keep-alive-client.ts';
import { cpuSeconds } from './support/process-tree.ts';
import { startCaje } from './support/start-caje.ts';
import { startNginxCache, startNginxOrigin } from './support/start-nginx.ts';
import type { Server } from './support/start-process.ts';
import { startScript } from './support/start-script.ts';
import { untilHit } from './support/until-hit.ts';
import { wrk } from './support/wrk.ts';

const PATH = '/hit-1k';
const WARM_SECONDS = 3;
const TARGET = 0.7;

interface Peer {
  readonly peer: string;
  readonly server: Server;
  readonly perCpuSecond: number[];
  cpu: number;
}

/** Hits of 1 KiB per CPU second. */
export const hit1k: Bench = {
  name: 'hit-1k',
  question: 'Hits of 1 KiB per CPU second of the whole process tree, beside nginx proxy_cache.',
  settings: { rounds: '5', seconds: '4', connections: '64' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startNginxOrigin(join(folder, 'origin'), PATH.length));
  const nginx = stack.use(await startNginxCache(join(folder, 'nginx'), origin.url));
  const caje = stack.use(
    await startCaje({ folder: join(folder, 'caje'), fetcher: { type: 'origin', url: origin.url } }),
  );
  for (const { url } of [caje, nginx]) await warm(url);
  const peers: Peer[] = [
    { peer: 'caje', server: caje, perCpuSecond: [], cpu: 0 },
    { peer: 'nginx', server: nginx, perCpuSecond: [], cpu: 0 },
    ...(await Promise.all(
      ['bare-http', 'bare-socket'].map(
        async (peer): Promise<Peer> => ({
          peer,
          server: stack.use(await startScript(peer)),
          perCpuSecond: [],
          cpu: 0,
        }),
      ),
    )),
  ];
  const connections = numberOf(settings, 'connections');
  for (const { server } of peers) {
    await wrk({ url: server.url + PATH, connections, seconds: WARM_SECONDS });
  }
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    for (const peer of peers) {
      const before = cpuSeconds(peer.server.pid);
      const seconds = numberOf(settings, 'seconds');
      const { requests } = await wrk({ url: peer.server.url + PATH, connections, seconds });
      const used = cpuSeconds(peer.server.pid) - before;
      peer.cpu += used;
      peer.perCpuSecond.push(requests / used);
    }
  }
  const reference = peers[1]?.perCpuSecond ?? [];
  return peers.map(({ peer, perCpuSecond, cpu }) => ({
    peer,
    figure: 'hits/CPU s',
    rounds: perCpuSecond,
    cpuSeconds: cpu,
    ...(peer !== 'nginx' && {
      comparison: {
        what: '× nginx',
        value: ratio(perCpuSecond, reference),
        ...(peer === 'caje' && { target: { atLeast: TARGET } }),
      },
    }),
  }));
}

async function warm(url: string): Promise<void> {
  const client = await KeepAliveClient.connect(url);
  try {
    await untilHit(client, PATH);
  } finally {
    client.close();
  }
}
