import { join } from 'node:path';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import {
  type Bench,
  numberOf,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';
import { expectOk, getOnce, KeepAliveClient } from './support/keep-alive-client.ts';
import { checkPiece } from './support/pattern.ts';
import { cpuSeconds } from './support/process-tree.ts';
import { settle } from './support/settle.ts';
import { startCaje } from './support/start-caje.ts';
import type { Server } from './support/start-process.ts';
import { type S3Store, startS3 } from './support/start-s3.ts';
import { startScript } from './support/start-script.ts';
import { expectHit } from './support/until-hit.ts';

const MB = 1_000_000;
const TARGET = 0.9;

interface Peer {
  readonly peer: string;
  readonly server: Server;
  readonly path: string;
  readonly target?: number | undefined;
  /** MB per second of wall time. */
  readonly speed: number[];
  /** CPU seconds of each round. */
  readonly cpu: number[];
}

/** Hits from S3 in bytes per second. */
export const s3Hit: Bench = {
  name: 's3-hit',
  question:
    'Hits of one object in S3 in MB per second, of wall time and of CPU time, beside a process that passes on what the AWS SDK reads, unchecked. The store is versitygw on the same machine.',
  settings: { rounds: '5', reads: '5', bytes: '100000000', connections: '1' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const bytes = numberOf(settings, 'bytes');
  const store = stack.use(await startS3(join(folder, 's3')));
  const origin = stack.use(await startScript('timed-origin'));
  const fetcher = { type: 'origin', url: origin.url };
  const path = `/full/${bytes}/s3-hit`;
  const start = async (name: string, more: object): Promise<Server> => {
    const storage = { local: { ...store.storage, prefix: name, ...more } };
    const config = { storage, memory: { bodies: 0 } };
    return stack.use(await startCaje({ folder: join(folder, name), fetcher, config }));
  };
  const checked = await start('checked', {});
  const unchecked = await start('unchecked', { verify: false });
  for (const server of [checked, unchecked]) {
    expectOk(await getOnce(server.url, path), path);
    await settle(server.pid);
    expectHit(await getOnce(server.url, path, checkPiece), path);
  }
  const key = await keyOf(store, 'checked', bytes);
  const sdk = stack.use(await startScript('s3-reader', [JSON.stringify(store.storage)]));
  const peers: Peer[] = [
    { peer: 'SDK', server: sdk, path: `/bare/${key}`, speed: [], cpu: [] },
    { peer: 'caje', server: checked, path, target: TARGET, speed: [], cpu: [] },
    { peer: 'caje, verify: false', server: unchecked, path, speed: [], cpu: [] },
  ];
  const reads = numberOf(settings, 'reads');
  const connections = numberOf(settings, 'connections');
  const load = async (peer: Peer, times: number): Promise<number> => {
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: connections }, () => read(peer, times, bytes)));
    return (connections * times * bytes) / MB / ((performance.now() - startedAt) / 1000);
  };
  for (const peer of peers) await load(peer, 1);
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    for (const peer of peers) {
      const before = cpuSeconds(peer.server.pid);
      peer.speed.push(await load(peer, reads));
      peer.cpu.push(cpuSeconds(peer.server.pid) - before);
    }
  }
  const [reference] = peers as [Peer, ...Peer[]];
  const moved = (connections * reads * bytes) / MB;
  return [
    ...peers.map((peer) => rowOf(peer, reference)),
    ...peers.map((peer) => cpuRowOf(peer, reference, moved)),
  ];
}

/** Reads so many times over one connection. */
async function read({ server, path }: Peer, times: number, bytes: number): Promise<void> {
  const client = await KeepAliveClient.connect(server.url);
  for (let time = 0; time < times; time++) {
    const answer = expectOk(await client.get(path), path);
    if (answer.bytes !== bytes) throw new Error(`${path} gave ${answer.bytes} bytes of ${bytes}`);
  }
  client.close();
}

/** Key of the one body that a node keeps below a prefix. */
async function keyOf(store: S3Store, prefix: string, bytes: number): Promise<string> {
  const client = store.connect();
  try {
    const { Contents = [] } = await client.send(
      new ListObjectsV2Command({ Bucket: store.bucket, Prefix: `${prefix}/sha256/` }),
    );
    const found = Contents.find(({ Size }) => Size === bytes)?.Key;
    if (found === undefined) throw new Error('the body is not in the bucket');
    return found;
  } finally {
    client.destroy();
  }
}

function rowOf({ peer, speed, cpu, target }: Peer, reference: Peer): Row {
  const cpuSeconds = cpu.reduce((sum, seconds) => sum + seconds, 0);
  const row: Row = { peer, figure: 'MB/s', rounds: speed, cpuSeconds };
  if (peer === reference.peer) return row;
  const comparison = { what: '× SDK', value: ratio(speed, reference.speed) };
  return {
    ...row,
    comparison: { ...comparison, ...(target !== undefined && { target: { atLeast: target } }) },
  };
}

/** The same of the CPU time of the server alone, which bears a shared machine better. */
function cpuRowOf({ peer, cpu }: Peer, reference: Peer, moved: number): Row {
  const perSecond = (seconds: readonly number[]): number[] => seconds.map((one) => moved / one);
  const row: Row = { peer, figure: 'MB/CPU s', rounds: perSecond(cpu) };
  if (peer === reference.peer) return row;
  const value = ratio(perSecond(cpu), perSecond(reference.cpu));
  return { ...row, comparison: { what: '× SDK', value } };
}
