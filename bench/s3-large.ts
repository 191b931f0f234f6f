import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DeleteObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { type Bench, numberOf, type Row, type Settings, tempFolder } from './support/bench.ts';
import { expectOk, getOnce } from './support/keep-alive-client.ts';
import { checkPiece } from './support/pattern.ts';
import { cpuSeconds, residentBytes } from './support/process-tree.ts';
import { settle } from './support/settle.ts';
import { startCaje } from './support/start-caje.ts';
import type { Server } from './support/start-process.ts';
import { type S3Store, startS3 } from './support/start-s3.ts';
import { startScript } from './support/start-script.ts';
import { expectHit } from './support/until-hit.ts';

const MIB = 1024 * 1024;
const MB = 1_000_000;
const TARGET_MIB = 96;
const SAMPLE_MS = 100;
/** What a node keeps before it is measured, so that what it needs for any body is there. */
const FIRST_BODY = 32 * MIB;
const KEPT_MS = 1_800_000;
const ASK_MS = 500;
const PREFIX = 'caje';
const SDK_KEY = 'sdk/large';

/** What moving a body took. */
interface Moved {
  readonly seconds: number;
  readonly cpu: number;
  /** Most resident bytes of the process tree meanwhile. */
  readonly peak: number;
}

/** One large body into S3 and out of it. */
export const s3Large: Bench = {
  name: 's3-large',
  question:
    'Growth of the resident memory of a node while one large body goes from an origin into S3, and from there to a client, and MB per second of wall time beside processes that do the same with the SDK alone. Up: until the body is kept, which includes a copy by the store to its digest. Needs four times the room of the body.',
  settings: { bytes: String(6 * 1024 * MIB) },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const bytes = numberOf(settings, 'bytes');
  // The list of so many parts is too long for an extended attribute.
  const store = stack.use(await startS3(join(folder, 's3'), { sidecar: true }));
  const origin = stack.use(await startScript('timed-origin'));
  const path = `/full/${bytes}/s3-large`;

  const writer = stack.use(await startScript('s3-writer', [JSON.stringify(store.storage)]));
  const sdkUp = await watched(writer, async () => {
    const from = encodeURIComponent(`${origin.url}/full/${bytes}/sdk`);
    expectOk(await getOnce(writer.url, `/put/${SDK_KEY}?from=${from}`), SDK_KEY);
  });
  const reader = stack.use(await startScript('s3-reader', [JSON.stringify(store.storage)]));
  const sdkDown = await watched(reader, async () => await read(reader.url, `/bare/${SDK_KEY}`));
  await remove(store, SDK_KEY);

  const node = stack.use(
    await startCaje({
      folder: join(folder, 'caje'),
      fetcher: { type: 'origin', url: origin.url },
      config: { storage: { local: { ...store.storage, prefix: PREFIX } }, memory: { bodies: 0 } },
    }),
  );
  const first = `/full/${FIRST_BODY}/first`;
  await read(node.url, first);
  await kept(store, FIRST_BODY);
  await settle(node.pid);
  await read(node.url, first, true);
  await settle(node.pid);
  const before = residentBytes(node.pid);
  const up = await watched(node, async () => {
    await read(node.url, path);
    await kept(store, bytes);
  });
  await settle(node.pid);
  const counts = (await (await fetch(`${origin.url}/counts`)).json()) as Record<string, number>;
  if (counts[path] !== 1) throw new Error(`was fetched ${counts[path]} times until it was kept`);
  const down = await watched(node, async () => await read(node.url, path, true));

  async function read(url: string, asked: string, isFromStore = false): Promise<void> {
    const answer = expectOk(await getOnce(url, asked, checkPiece), asked);
    if (isFromStore) expectHit(answer, asked);
  }
  const speed = (moved: Moved): number => bytes / MB / moved.seconds;
  const ofSpeed = (peer: string, moved: Moved, sdk?: Moved): Row => ({
    ...{ peer, figure: 'MB/s', rounds: [speed(moved)], cpuSeconds: moved.cpu },
    ...(sdk && { comparison: { what: '× SDK', value: speed(moved) / speed(sdk) } }),
  });
  const ofMemory = (peer: string, moved: Moved): Row => {
    const value = (moved.peak - before) / MIB;
    const comparison = { what: 'MiB at most', value, target: { atMost: TARGET_MIB } };
    return { peer, figure: 'MiB grown at the peak', rounds: [value], comparison };
  };
  return [
    ofSpeed('SDK, up', sdkUp),
    ofSpeed('caje, up', up, sdkUp),
    ofSpeed('SDK, down', sdkDown),
    ofSpeed('caje, down', down, sdkDown),
    ofMemory('caje, up', up),
    ofMemory('caje, down', down),
    { peer: 'caje', figure: 'MiB before', rounds: [before / MIB] },
  ];
}

/** Does a piece of work and watches the server that it is done by. */
async function watched({ pid }: Server, work: () => Promise<void>): Promise<Moved> {
  let peak = residentBytes(pid);
  const sampling = setInterval(() => {
    peak = Math.max(peak, residentBytes(pid));
  }, SAMPLE_MS);
  const cpu = cpuSeconds(pid);
  const startedAt = performance.now();
  try {
    await work();
    const seconds = (performance.now() - startedAt) / 1000;
    return { seconds, cpu: cpuSeconds(pid) - cpu, peak: Math.max(peak, residentBytes(pid)) };
  } finally {
    clearInterval(sampling);
  }
}

/** Resolves once a body of that size lies below the node's prefix. The node itself is not asked, which would be work for it. */
async function kept(store: S3Store, size: number): Promise<void> {
  const client = store.connect();
  const command = new ListObjectsV2Command({ Bucket: store.bucket, Prefix: `${PREFIX}/sha256/` });
  const end = performance.now() + KEPT_MS;
  try {
    while (performance.now() < end) {
      const { Contents = [] } = await client.send(command);
      if (Contents.some(({ Size }) => Size === size)) return;
      await delay(ASK_MS);
    }
    throw new Error(`a body of ${size} bytes is never kept`);
  } finally {
    client.destroy();
  }
}

async function remove(store: S3Store, Key: string): Promise<void> {
  const client = store.connect();
  await client.send(new DeleteObjectCommand({ Bucket: store.bucket, Key }));
  client.destroy();
}
