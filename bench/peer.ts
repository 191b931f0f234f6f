import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Bench,
  numberOf,
  quantile,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { expectOk, KeepAliveClient } from './support/keep-alive-client.ts';
import { startCaje } from './support/start-caje.ts';
import { startScript } from './support/start-script.ts';
import { untilHit } from './support/until-hit.ts';

const LATER_TARGET_MS = 2;
const SHARE_TARGET = 0.8;
const WARM_UP = 200;
/** Between two requests, so that what one node still does behind its answer does not delay the next. */
const REST_MS = 10;
const MIB = 1024 * 1024;

/** What a node costs that has to ask another one that has it. */
export const peer: Bench = {
  name: 'peer',
  question:
    'A body that another node has, read through a node that does not: how much later its first byte comes than from that node itself, and at what share of its throughput a large one.',
  settings: { requests: '400', small: '1024', block: '1048576', large: '268435456', rounds: '7' },
  run,
};

interface Clients {
  /** Of the node that has it. */
  readonly near: KeepAliveClient;
  /** Of the node that does not. */
  readonly far: KeepAliveClient;
}

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('timed-origin'));
  const peerToken = randomBytes(32).toString('base64url');
  const owner = stack.use(
    await startCaje({
      folder: join(folder, 'owner'),
      fetcher: { type: 'origin', url: origin.url },
      peerToken,
    }),
  );
  const edge = stack.use(
    await startCaje({
      folder: join(folder, 'edge'),
      fetcher: { type: 'peer', url: owner.peerUrl, token: peerToken },
    }),
  );
  const connect = async (url: string): Promise<KeepAliveClient> => {
    const client = await KeepAliveClient.connect(url);
    stack.defer(() => client.close());
    return client;
  };
  const clients: Clients = { near: await connect(owner.url), far: await connect(edge.url) };
  const requests = numberOf(settings, 'requests');
  return [
    ...(await firstBytes(clients, 'small', numberOf(settings, 'small'), requests)),
    ...(await firstBytes(clients, 'block', numberOf(settings, 'block'), requests)),
    ...(await throughput(clients, numberOf(settings, 'large'), numberOf(settings, 'rounds'))),
  ];
}

async function firstBytes(
  { near, far }: Clients,
  name: string,
  bytes: number,
  requests: number,
): Promise<readonly Row[]> {
  const direct: number[] = [];
  const through: number[] = [];
  for (let at = 0; at < WARM_UP + requests; at++) {
    const path = `/first/${bytes}/0/${name}-${at}`;
    await untilHit(near, path);
    await delay(REST_MS);
    const one = expectOk(await near.get(path), path).firstByteMs;
    const two = expectOk(await far.get(path), path).firstByteMs;
    if (at < WARM_UP) continue;
    direct.push(one);
    through.push(two);
  }
  const figure = `ms to the first byte of ${bytes}`;
  const later = quantile(through, 0.5) - quantile(direct, 0.5);
  return [
    { peer: 'the node that has it', figure, rounds: direct },
    {
      peer: 'a node that asks it',
      figure,
      rounds: through,
      comparison: { what: 'ms later', value: later, target: { atMost: LATER_TARGET_MS } },
      note: `p99 ${quantile(through, 0.99).toFixed(2)}`,
    },
  ];
}

async function throughput(
  { near, far }: Clients,
  bytes: number,
  rounds: number,
): Promise<readonly Row[]> {
  const direct: number[] = [];
  const through: number[] = [];
  const measure = async (client: KeepAliveClient, path: string): Promise<number> => {
    const from = performance.now();
    expectOk(await client.get(path), path);
    return bytes / MIB / ((performance.now() - from) / 1000);
  };
  for (let round = 0; round < rounds; round++) {
    const path = `/first/${bytes}/0/large-${round}`;
    await untilHit(near, path);
    direct.push(await measure(near, path));
    through.push(await measure(far, path));
  }
  const figure = 'MiB/s';
  const share = ratio(through, direct);
  return [
    { peer: 'the node that has it', figure, rounds: direct },
    {
      peer: 'a node that asks it, and keeps it',
      figure,
      rounds: through,
      comparison: { what: 'of that', value: share, target: { atLeast: SHARE_TARGET } },
    },
  ];
}
