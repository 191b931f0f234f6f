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

const BYTES = 100_000_000;
const MB = 1_000_000;
const VERIFIED_TARGET = 0.6;
const PLAIN_TARGET = 1;

interface Peer {
  readonly peer: string;
  readonly server: Server;
  readonly path: string;
  readonly target?: number | undefined;
  readonly speed: number[];
  readonly perCpuSecond: number[];
  cpu: number;
}

/** Hits of 100 MB in bytes per second. */
export const hit100m: Bench = {
  name: 'hit-100m',
  question:
    'Hits of 100 MB one after another on one connection, in MB per second, with and without block verification, beside nginx proxy_cache (and a bare file reader).',
  settings: { rounds: '5', hits: '10' },
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
  const nginxCopy = stack.use(
    await startNginxCache(join(folder, 'nginx-copy'), origin.url, { sendfile: 'off' }),
  );
  const verified = stack.use(await startCaje({ folder: join(folder, 'verified'), fetcher }));
  const plain = stack.use(
    await startCaje({ folder: join(folder, 'plain'), fetcher, verify: false }),
  );
  const empty = { speed: [], perCpuSecond: [], cpu: 0 };
  const peers: Peer[] = [
    { peer: 'nginx', server: nginx, path },
    { peer: 'caje', server: verified, path, target: VERIFIED_TARGET },
    { peer: 'caje, verify: false', server: plain, path, target: PLAIN_TARGET },
    { peer: 'bare reader, verified', server: reader, path: '/verified' },
    { peer: 'bare reader', server: reader, path: '/plain' },
    { peer: 'nginx, sendfile off', server: nginxCopy, path },
  ].map((peer) => ({ ...peer, ...structuredClone(empty) }));
  for (const { server, peer } of peers.filter((candidate) => candidate.path === path)) {
    expectOk(await getOnce(server.url, path), path);
    await settle(server.pid);
    expectHit(await getOnce(server.url, path, checkPiece), `${path} of ${peer}`);
  }
  for (let round = -1; round < numberOf(settings, 'rounds'); round++) {
    for (const peer of peers) await measure(peer, numberOf(settings, 'hits'), round < 0);
  }
  return peers.flatMap((peer) => rowsOf(peer, peers[0] as Peer));
}

async function measure(peer: Peer, hits: number, isWarmUp: boolean): Promise<void> {
  const { server, path } = peer;
  const client = await KeepAliveClient.connect(server.url);
  const before = cpuSeconds(server.pid);
  const startedAt = performance.now();
  for (let hit = 0; hit < (isWarmUp ? 2 : hits); hit++) {
    const { bytes } = expectOk(await client.get(path), path);
    if (bytes !== BYTES) throw new Error(`${peer.peer} sent ${bytes} bytes of ${BYTES}`);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  client.close();
  const used = cpuSeconds(server.pid) - before;
  if (isWarmUp) return;
  peer.cpu += used;
  peer.speed.push((hits * BYTES) / MB / seconds);
  peer.perCpuSecond.push((hits * BYTES) / MB / used);
}

function rowsOf({ peer, speed, perCpuSecond, cpu, target }: Peer, reference: Peer): Row[] {
  const isReference = peer === reference.peer;
  return [
    {
      peer,
      figure: 'MB/s',
      rounds: speed,
      cpuSeconds: cpu,
      ...(!isReference && {
        comparison: {
          what: '× nginx',
          value: ratio(speed, reference.speed),
          ...(target !== undefined && { target: { atLeast: target } }),
        },
      }),
    },
    {
      peer,
      figure: 'MB/CPU s',
      rounds: perCpuSecond,
      ...(!isReference && {
        comparison: { what: '× nginx', value: ratio(perCpuSecond, reference.perCpuSecond) },
      }),
    },
  ];
}
