import { join } from 'node:path';
import {
  type Bench,
  median,
  numberOf,
  type Row,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { type Answer, expectOk, getOnce, KeepAliveClient } from './support/keep-alive-client.ts';
import { checkPiece } from './support/pattern.ts';
import { cpuSeconds } from './support/process-tree.ts';
import { startCaje } from './support/start-caje.ts';
import { startNginxCache } from './support/start-nginx.ts';
import type { Server } from './support/start-process.ts';
import { startScript } from './support/start-script.ts';

const BYTES = 1024 * 1024;
const ARRIVAL_MS = 2000;
const TARGET = 1.2;
/** Connections opened at a time, before the clock starts. */
const OPENED_AT_ONCE = 100;

interface Peer {
  readonly peer: string;
  readonly server: Server;
  readonly alone: number[];
  readonly together: number[];
  readonly fetches: number[];
  cpu: number;
}

/** Many clients on one cold key. */
export const herd: Bench = {
  name: 'herd',
  question:
    'Clients that ask at the same moment for one cold key of 1 MiB that takes 2 s to arrive: fetches from the origin, and the last byte of the last client beside that of a client alone.',
  settings: { rounds: '3', clients: '1000' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('timed-origin'));
  const peers: Peer[] = [
    {
      peer: 'caje',
      server: stack.use(
        await startCaje({
          folder: join(folder, 'caje'),
          fetcher: { type: 'origin', url: origin.url },
        }),
      ),
    },
    {
      peer: 'nginx, proxy_cache_lock',
      server: stack.use(await startNginxCache(join(folder, 'nginx'), origin.url)),
    },
  ].map((peer) => ({ ...peer, alone: [], together: [], fetches: [], cpu: 0 }));
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    for (const [index, peer] of peers.entries()) {
      const path = `/over/${BYTES}/${ARRIVAL_MS}/${index}-${round}`;
      const { lastByteMs } = expectOk(await getOnce(peer.server.url, `${path}-alone`), path);
      peer.alone.push(lastByteMs);
      const before = cpuSeconds(peer.server.pid);
      const answers = await askTogether(peer.server.url, path, numberOf(settings, 'clients'));
      peer.cpu += cpuSeconds(peer.server.pid) - before;
      peer.together.push(Math.max(...answers.map((answer) => answer.lastByteMs)));
      peer.fetches.push(await fetchesOf(origin.url, path));
    }
  }
  return peers.flatMap(rowsOf);
}

async function askTogether(url: string, path: string, count: number): Promise<Answer[]> {
  const clients: KeepAliveClient[] = [];
  try {
    while (clients.length < count) {
      const size = Math.min(OPENED_AT_ONCE, count - clients.length);
      const opened = Array.from({ length: size }, async () => await KeepAliveClient.connect(url));
      clients.push(...(await Promise.all(opened)));
    }
    return await Promise.all(
      clients.map(async (client) => expectOk(await client.get(path, checkPiece), path)),
    );
  } finally {
    for (const client of clients) client.close();
  }
}

async function fetchesOf(originUrl: string, path: string): Promise<number> {
  const response = await fetch(`${originUrl}/counts`);
  const counts = (await response.json()) as Readonly<Record<string, number>>;
  return counts[path] ?? 0;
}

function rowsOf({ peer, alone, together, fetches, cpu }: Peer): Row[] {
  const isCaje = peer === 'caje';
  const aloneMs = median(alone);
  return [
    {
      peer,
      figure: 'ms to the last byte of the last client',
      rounds: together,
      cpuSeconds: cpu,
      comparison: {
        what: `× one client (${Math.round(aloneMs)} ms)`,
        value: median(together) / aloneMs,
        ...(isCaje && { target: { atMost: TARGET } }),
      },
    },
    {
      peer,
      figure: 'fetches from the origin',
      rounds: fetches,
      comparison: {
        what: 'at most',
        value: Math.max(...fetches),
        ...(isCaje && { target: { atMost: 1 } }),
      },
    },
  ];
}
