import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Bench,
  median,
  numberOf,
  quantile,
  type Row,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { expectOk, KeepAliveClient } from './support/keep-alive-client.ts';
import { startCaje } from './support/start-caje.ts';
import { startNginxCache } from './support/start-nginx.ts';
import { startScript } from './support/start-script.ts';
import { untilHit } from './support/until-hit.ts';

const DIRECT_TARGET_MS = 1;
const PEER_TARGET_MS = 2;
const WARM_UP = 1_500;
/** Between two requests, so that what one node still does behind its answer does not delay the next. */
const REST_MS = 10;

type Way = 'direct' | 'caje' | 'nginx' | 'peer' | 'warm';

const TITLES: Readonly<Record<Way, string>> = {
  direct: 'origin, asked directly',
  caje: 'caje, cold',
  nginx: 'nginx, cold',
  peer: 'caje through a peer, both cold',
  warm: 'caje through a peer that has it',
};

/** How much later the first byte of a cold fill comes. */
export const firstByte: Bench = {
  name: 'first-byte',
  question:
    'Milliseconds until the first byte of a body that the node does not have: later than from the origin itself, and through a peer later than from the origin by one node.',
  settings: { requests: '400', bytes: '262144', pause: '10' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('timed-origin'));
  const peerToken = randomBytes(32).toString('base64url');
  const upstream = stack.use(
    await startCaje({
      folder: join(folder, 'upstream'),
      fetcher: { type: 'origin', url: origin.url },
      peerToken,
    }),
  );
  const edge = stack.use(
    await startCaje({
      folder: join(folder, 'edge'),
      fetcher: { type: 'peer', url: upstream.peerUrl, token: peerToken },
    }),
  );
  const nginx = stack.use(await startNginxCache(join(folder, 'nginx'), origin.url));
  const connect = async (url: string): Promise<KeepAliveClient> => {
    const client = await KeepAliveClient.connect(url);
    stack.defer(() => client.close());
    return client;
  };
  const near = await connect(upstream.url);
  const far = await connect(edge.url);
  const clients: Readonly<Record<Way, KeepAliveClient>> = {
    direct: await connect(origin.url),
    caje: near,
    nginx: await connect(nginx.url),
    peer: far,
    warm: far,
  };
  const bytes = numberOf(settings, 'bytes');
  // The origin holds the rest of a body back for so long: who waits for the whole is seen.
  const pauseMs = numberOf(settings, 'pause');
  const times: Record<Way, number[]> = { direct: [], caje: [], nginx: [], peer: [], warm: [] };
  const ways = Object.keys(times) as Way[];
  for (let at = 0; at < WARM_UP + numberOf(settings, 'requests'); at++) {
    for (const way of ways) {
      const isWarmUp = at < WARM_UP;
      const path = `/first/${bytes}/${isWarmUp ? 0 : pauseMs}/${way}-${at}`;
      if (way === 'warm') await untilHit(near, path);
      if (!isWarmUp) await delay(REST_MS);
      const { firstByteMs } = expectOk(await clients[way].get(path), path);
      if (at >= WARM_UP) times[way].push(firstByteMs);
    }
  }
  return ways.map((way) => rowOf(way, times));
}

function rowOf(way: Way, times: Readonly<Record<Way, number[]>>): Row {
  const peer = TITLES[way];
  const isPeer = way === 'peer' || way === 'warm';
  const reference = times[isPeer ? 'caje' : 'direct'];
  const what = isPeer ? 'ms later than caje, cold' : 'ms later than direct';
  const target = isPeer ? PEER_TARGET_MS : DIRECT_TARGET_MS;
  const later = (share: number): number => quantile(times[way], share) - quantile(reference, share);
  const tail = [0.9, 0.99].map(
    (share) => `p${share * 100} ${quantile(times[way], share).toFixed(2)}`,
  );
  return {
    peer,
    figure: 'ms to the first byte',
    rounds: tenths(times[way]),
    ...(way !== 'direct' && {
      comparison: {
        what,
        value: later(0.5),
        ...(way !== 'nginx' && { target: { atMost: target } }),
      },
    }),
    note: tail.join(', '),
  };
}

/** Medians of ten parts of the run, one after another. */
function tenths(values: readonly number[]): number[] {
  const size = Math.ceil(values.length / 10);
  return Array.from({ length: Math.ceil(values.length / size) }, (_, part) =>
    median(values.slice(part * size, (part + 1) * size)),
  );
}
