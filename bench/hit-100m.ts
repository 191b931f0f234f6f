import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Bench,
  numberOf,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { expectOk, getOnce, KeepAliveClient } from './support/keep-alive-client.ts';
import { checkPiece, pieceAt } from './support/pattern.ts';
import { cpuSeconds } from './support/process-tree.ts';
import { settle } from './support/settle.ts';
import { startCaje } from './support/start-caje.ts';
import { startNginxCache } from './support/start-nginx.ts';
import type { Server } from './support/start-process.ts';
import { startScript } from './support/start-script.ts';
import { expectHit } from './support/until-hit.ts';
import { wrk } from './support/wrk.ts';

const BYTES = 100_000_000;
const MB = 1_000_000;
const VERIFIED_TARGET = 0.6;
const PLAIN_TARGET = 1;

interface Peer {
  readonly peer: string;
  readonly server: Server;
  readonly path: string;
  readonly target?: number | undefined;
  /** By wrk. */
  readonly speed: number[];
  /** By a client that takes up to 1 MiB with each read and looks at nothing. */
  readonly drained: number[];
  readonly perCpuSecond: number[];
  cpu: number;
}

/** Hits of 100 MB in bytes per second. */
export const hit100m: Bench = {
  name: 'hit-100m',
  question:
    'Hits of 100 MB in MB per second of wall time, one server process, loaded by wrk, with and without block verification, beside nginx proxy_cache and a bare file reader. `drained`: one connection, read 1 MiB at a time.',
  settings: { rounds: '5', seconds: '3', connections: '1', drains: '5' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('timed-origin'));
  const path = `/full/${BYTES}/hit`;
  const fetcher = { type: 'origin', url: origin.url };
  const file = join(folder, 'body');
  await writeFile(
    file,
    (function* () {
      for (let offset = 0; offset < BYTES; ) {
        const piece = pieceAt(offset, BYTES);
        offset += piece.length;
        yield piece;
      }
    })(),
  );
  const reader = stack.use(await startScript('bare-reader', [file]));
  const nginx = stack.use(await startNginxCache(join(folder, 'nginx'), origin.url));
  const verified = stack.use(await startCaje({ folder: join(folder, 'verified'), fetcher }));
  const plain = stack.use(
    await startCaje({ folder: join(folder, 'plain'), fetcher, verify: false }),
  );
  const empty = { speed: [], drained: [], perCpuSecond: [], cpu: 0 };
  const peers: Peer[] = [
    { peer: 'nginx', server: nginx, path },
    { peer: 'caje', server: verified, path, target: VERIFIED_TARGET },
    { peer: 'caje, verify: false', server: plain, path, target: PLAIN_TARGET },
    { peer: 'bare reader, verified', server: reader, path: '/verified' },
    { peer: 'bare reader', server: reader, path: '/plain' },
  ].map((peer) => ({ ...peer, ...structuredClone(empty) }));
  for (const { server, peer } of peers.filter((candidate) => candidate.path === path)) {
    expectOk(await getOnce(server.url, path), path);
    await settle(server.pid);
    expectHit(await getOnce(server.url, path, checkPiece), `${path} of ${peer}`);
  }
  for (const { server, path: asked } of peers) await drain(server.url + asked, 2);
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    for (const peer of peers) await measure(peer, settings);
  }
  return peers.flatMap((peer) => rowsOf(peer, peers[0] as Peer));
}

async function measure(peer: Peer, settings: Settings): Promise<void> {
  const { server } = peer;
  const url = server.url + peer.path;
  const connections = numberOf(settings, 'connections');
  const before = cpuSeconds(server.pid);
  const { bytes, seconds } = await wrk({
    url,
    connections,
    seconds: numberOf(settings, 'seconds'),
  });
  const used = cpuSeconds(server.pid) - before;
  peer.cpu += used;
  peer.speed.push(bytes / MB / seconds);
  peer.perCpuSecond.push(bytes / MB / used);
  peer.drained.push(await drain(url, numberOf(settings, 'drains')));
}

/** MB per second. */
async function drain(url: string, times: number): Promise<number> {
  const { origin, pathname } = new URL(url);
  const client = await KeepAliveClient.connect(origin);
  const startedAt = performance.now();
  for (let time = 0; time < times; time++) {
    const { bytes } = expectOk(await client.get(pathname), pathname);
    if (bytes !== BYTES) throw new Error(`${url} gave ${bytes} bytes of ${BYTES}`);
  }
  client.close();
  return (times * BYTES) / MB / ((performance.now() - startedAt) / 1000);
}

function rowsOf(of: Peer, nginx: Peer): Row[] {
  const { peer, cpu, target } = of;
  const row = (figure: string, key: 'speed' | 'perCpuSecond' | 'drained'): Row => ({
    peer,
    figure,
    rounds: of[key],
    ...(of !== nginx && { comparison: { what: '× nginx', value: ratio(of[key], nginx[key]) } }),
  });
  const speed = row('MB/s', 'speed');
  return [
    {
      ...speed,
      cpuSeconds: cpu,
      ...(speed.comparison &&
        target !== undefined && {
          comparison: { ...speed.comparison, target: { atLeast: target } },
        }),
    },
    row('MB/CPU s', 'perCpuSecond'),
    row('MB/s drained', 'drained'),
  ];
}
