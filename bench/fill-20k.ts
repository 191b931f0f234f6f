import { join } from 'node:path';
import {
  type Bench,
  numberOf,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { fillAll, PATH_BYTES, pathOf } from './support/fill-all.ts';
import { getOnce } from './support/keep-alive-client.ts';
import { cpuSecondsFor } from './support/settle.ts';
import { startCaje } from './support/start-caje.ts';
import { startNginxCache, startNginxOrigin } from './support/start-nginx.ts';
import { expectHit } from './support/until-hit.ts';

const TARGET = 0.3;
const CHECKED = 100;

/** Distinct objects filled per CPU second. */
export const fill20k: Bench = {
  name: 'fill-20k',
  question:
    'Distinct objects of 1 KiB fetched, answered and kept, each once, per CPU second of the whole process tree (until it has settled), beside nginx proxy_cache.',
  settings: { rounds: '3', objects: '20000', connections: '32' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startNginxOrigin(join(folder, 'origin'), PATH_BYTES));
  const peers = [
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
      peer: 'nginx',
      server: stack.use(await startNginxCache(join(folder, 'nginx'), origin.url)),
    },
  ].map((peer) => ({ ...peer, rounds: [] as number[], seconds: [] as number[], cpu: 0 }));
  const count = numberOf(settings, 'objects');
  const connections = numberOf(settings, 'connections');
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    const from = round * count;
    for (const peer of peers) {
      const { pid, url } = peer.server;
      const used = await cpuSecondsFor(pid, async () => {
        const startedAt = performance.now();
        await fillAll({ url, from, count, connections });
        peer.seconds.push((performance.now() - startedAt) / 1000);
      });
      peer.cpu += used;
      peer.rounds.push(count / used);
      for (let at = 0; at < count; at += Math.ceil(count / CHECKED)) {
        const path = pathOf(from + at);
        expectHit(await getOnce(url, path), path);
      }
    }
  }
  const reference = peers[1]?.rounds ?? [];
  return peers.map(({ peer, rounds, cpu, seconds }) => ({
    peer,
    figure: 'fills/CPU s',
    rounds,
    cpuSeconds: cpu,
    ...(peer === 'caje' && {
      comparison: { what: '× nginx', value: ratio(rounds, reference), target: { atLeast: TARGET } },
    }),
    note: `${seconds.map((value) => value.toFixed(1)).join(', ')} s each`,
  }));
}
