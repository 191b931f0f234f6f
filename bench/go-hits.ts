import {
  type Bench,
  numberOf,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { type GoPeer, startGoPeers } from './support/go-peers.ts';
import { type ZipModule, zipModulePath } from './support/go-zip-module.ts';
import { expectOk, KeepAliveClient } from './support/keep-alive-client.ts';
import { cpuSeconds } from './support/process-tree.ts';
import { startScript } from './support/start-script.ts';
import { untilHit } from './support/until-hit.ts';
import { wrk } from './support/wrk.ts';

const MODULE: ZipModule = { bytes: 1_080_000, bytesPerSecond: 0 };
const KINDS = [
  { ending: 'info', target: 0.7 },
  { ending: 'mod', target: 0.7 },
  { ending: 'zip', target: undefined },
] as const;
const WARM_SECONDS = 2;

interface Measured {
  readonly peer: GoPeer;
  readonly kind: (typeof KINDS)[number];
  readonly url: string;
  readonly perCpuSecond: number[];
  cpu: number;
}

/** Hits of each kind of module file per CPU second. */
export const goHits: Bench = {
  name: 'go-hits',
  question:
    'Hits of an .info, a .mod and a .zip of 1.08 MB per CPU second of the whole process tree of a module proxy, beside nginx proxy_cache.',
  settings: { rounds: '4', seconds: '3', connections: '64' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('go-zips'));
  const peers = await startGoPeers(
    { folder, originUrl: origin.url, runs: 1, unverified: true },
    stack,
  );
  const connections = numberOf(settings, 'connections');
  const results: Measured[] = [];
  for (const kind of KINDS) {
    for (const peer of peers) {
      const url = (await peer.empty(0)) + zipModulePath(MODULE, 0, kind.ending);
      await fill(url, peer.name);
      await wrk({ url, connections, seconds: WARM_SECONDS });
      results.push({ peer, kind, url, perCpuSecond: [], cpu: 0 });
    }
  }
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    for (const measured of results) {
      const before = cpuSeconds(measured.peer.pid);
      const seconds = numberOf(settings, 'seconds');
      const { requests } = await wrk({ url: measured.url, connections, seconds });
      const used = cpuSeconds(measured.peer.pid) - before;
      measured.cpu += used;
      measured.perCpuSecond.push(requests / used);
    }
  }
  return results.map((measured) => rowOf(measured, results));
}

async function fill(url: string, name: string): Promise<void> {
  const path = new URL(url).pathname;
  const client = await KeepAliveClient.connect(url);
  try {
    // goproxy and Athens do not say what is a hit; both keep a file before they answer.
    if (name.startsWith('caje') || name === 'nginx') await untilHit(client, path);
    else expectOk(await client.get(path), path);
  } finally {
    client.close();
  }
}

function rowOf(measured: Measured, all: readonly Measured[]): Row {
  const { peer, kind, perCpuSecond, cpu } = measured;
  const nginx = all.find((other) => other.kind === kind && other.peer.name === 'nginx');
  return {
    peer: peer.name,
    figure: `.${kind.ending} hits/CPU s`,
    rounds: perCpuSecond,
    cpuSeconds: cpu,
    ...(peer.name !== 'nginx' && {
      comparison: {
        what: '× nginx',
        value: ratio(perCpuSecond, nginx?.perCpuSecond ?? []),
        ...(peer.name === 'caje' && kind.target && { target: { atLeast: kind.target } }),
      },
    }),
  };
}
