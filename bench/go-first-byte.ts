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
import { startGoPeers } from './support/go-peers.ts';
import { type ZipModule, zipModulePath } from './support/go-zip-module.ts';
import { expectOk, KeepAliveClient } from './support/keep-alive-client.ts';
import { startScript } from './support/start-script.ts';

const TARGET_MS = 1;
const WARM_UP = 500;
/** Of the zips that warm up, which come as fast as they can. */
const WARM_UP_BYTES = 64 * 1024;
/** Between two requests, so that what one node still does behind its answer does not delay the next. */
const REST_MS = 50;
const DIRECT = 'registry, asked directly';

interface Way {
  readonly name: string;
  /** Path of the GOPROXY address. */
  readonly base: string;
  readonly client: KeepAliveClient;
  readonly times: number[];
}

/** How much later the first byte of a large zip comes that a proxy does not have. */
export const goFirstByte: Bench = {
  name: 'go-first-byte',
  question:
    'Milliseconds until the first byte of a zip of 40 MB that the module proxy does not have, from a registry that sends 40 MB/s: later than from the registry itself. Each zip is a version never asked for before.',
  settings: { requests: '50', bytes: '40000000', rate: '40000000' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('go-zips'));
  const peers = await startGoPeers({ folder, originUrl: origin.url, runs: 1 }, stack);
  const waysOf = async (name: string, url: string): Promise<Way> => {
    const client = await KeepAliveClient.connect(url);
    stack.defer(() => client.close());
    return { name, base: new URL(url).pathname.replace(/\/$/, ''), client, times: [] };
  };
  const ways = [await waysOf(DIRECT, `${origin.url}/0`)];
  for (const peer of peers) ways.push(await waysOf(`${peer.name}, cold`, await peer.empty(0)));
  const small: ZipModule = { bytes: WARM_UP_BYTES, bytesPerSecond: 0 };
  const large: ZipModule = {
    bytes: numberOf(settings, 'bytes'),
    bytesPerSecond: numberOf(settings, 'rate'),
  };
  const requests = numberOf(settings, 'requests');
  // One more than is counted: the registry makes the zip when it is first asked for one of its size.
  for (let at = 0; at <= WARM_UP + requests; at++) {
    const isWarmUp = at < WARM_UP;
    for (const [index, way] of ways.entries()) {
      const number = at * ways.length + index;
      const path = way.base + zipModulePath(isWarmUp ? small : large, number, 'zip');
      if (!isWarmUp) await delay(REST_MS);
      const { firstByteMs } = expectOk(await way.client.get(path), path);
      if (at > WARM_UP) way.times.push(firstByteMs);
    }
  }
  const direct = ways[0]?.times ?? [];
  return ways.map((way) => rowOf(way, direct));
}

function rowOf({ name, times }: Way, direct: readonly number[]): Row {
  return {
    peer: name,
    figure: 'ms to the first byte',
    rounds: times,
    ...(name !== DIRECT && {
      comparison: {
        what: 'ms later than direct',
        value: median(times) - median(direct),
        ...(name.startsWith('caje') && { target: { atMost: TARGET_MS } }),
      },
    }),
    note: [0.1, 0.9]
      .map((share) => `p${share * 100} ${quantile(times, share).toFixed(2)}`)
      .join(', '),
  };
}
