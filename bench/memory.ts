import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Bench, numberOf, type Row, type Settings, tempFolder } from './support/bench.ts';
import { getOnce, type Watch } from './support/keep-alive-client.ts';
import { checkPiece } from './support/pattern.ts';
import { cpuSeconds, residentBytes } from './support/process-tree.ts';
import { settle } from './support/settle.ts';
import { startCaje } from './support/start-caje.ts';
import { startScript } from './support/start-script.ts';

const MIB = 1024 * 1024;
const SAMPLE_MS = 100;
const TARGET_MIB = 64;
/** Room of the slow client's bucket: it reads in steps of an eighth of a second. */
const STEPS_PER_SECOND = 8;

/** How large the body is and how the slow client reads it. */
export interface MemoryOptions {
  readonly bytes: number;
  /** Seconds that the slow client reads at its rate; then it reads at full speed. */
  readonly slowSeconds: number;
  /** Bytes per second meanwhile. */
  readonly slowRate: number;
}

/** Resident memory of the node, in bytes, and how long the clients took. */
export interface MemoryResult {
  /** Once it listens and has answered one small request. */
  readonly before: number;
  readonly peak: number;
  /** A moment after both bodies were read. */
  readonly after: number;
  readonly samples: readonly number[];
  readonly fastSeconds: number;
  readonly slowSeconds: number;
  readonly cpuSeconds: number;
}

/** Memory under a large body with a slow client. */
export const memory: Bench = {
  name: 'memory',
  question:
    'Growth of the resident memory of the whole process tree while one body is fetched, sent to a client that reads 1 MiB/s at first and then at full speed, and to one at full speed all along.',
  settings: { rounds: '1', bytes: '10000000000', slow: '60', rate: String(MIB) },
  run,
};

/** Starts a node, reads one cold body twice at the same time and watches its memory. Checks every byte of both. */
export async function measureMemory(options: MemoryOptions): Promise<MemoryResult> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const origin = stack.use(await startScript('timed-origin'));
  const fetcher = { type: 'origin', url: origin.url };
  const node = stack.use(await startCaje({ folder: join(folder, 'caje'), fetcher }));
  await getOnce(node.url, '/full/1024/small');
  await settle(node.pid);
  const before = residentBytes(node.pid);
  const cpuBefore = cpuSeconds(node.pid);
  const samples: number[] = [];
  const sampling = setInterval(() => samples.push(residentBytes(node.pid)), SAMPLE_MS);
  stack.defer(() => clearInterval(sampling));
  const path = `/full/${options.bytes}/large`;
  const read = async (watch: Watch): Promise<number> => {
    const { bytes, lastByteMs } = await getOnce(node.url, path, watch);
    if (bytes !== options.bytes) throw new Error(`${bytes} bytes came of ${options.bytes}`);
    return lastByteMs / 1000;
  };
  const [slowSeconds, fastSeconds] = await Promise.all([
    read(slowly(options)),
    read((piece, offset) => checkPiece(piece, offset)),
  ]);
  await delay(10 * SAMPLE_MS);
  const after = residentBytes(node.pid);
  return {
    ...{ before, after, samples, fastSeconds, slowSeconds },
    peak: Math.max(...samples, after),
    cpuSeconds: cpuSeconds(node.pid) - cpuBefore,
  };
}

/** Lets `slowRate` bytes pass in each second of the first `slowSeconds`, then everything. */
function slowly({ slowSeconds, slowRate }: MemoryOptions): Watch {
  const startedAt = performance.now();
  return (piece, offset, socket) => {
    checkPiece(piece, offset);
    const elapsed = (performance.now() - startedAt) / 1000;
    if (elapsed >= slowSeconds) return;
    const dueIn = (offset + piece.length) / slowRate - elapsed;
    if (dueIn < 1 / STEPS_PER_SECOND) return;
    socket.pause();
    setTimeout(() => socket.resume(), Math.min(dueIn, slowSeconds - elapsed) * 1000);
  };
}

async function run(settings: Settings): Promise<readonly Row[]> {
  const results: MemoryResult[] = [];
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    results.push(
      await measureMemory({
        bytes: numberOf(settings, 'bytes'),
        slowSeconds: numberOf(settings, 'slow'),
        slowRate: numberOf(settings, 'rate'),
      }),
    );
  }
  const grown = results.map(({ peak, before }) => (peak - before) / MIB);
  const times = results.map(
    ({ fastSeconds, slowSeconds }) =>
      `fast ${fastSeconds.toFixed(1)} s, slow ${slowSeconds.toFixed(1)} s`,
  );
  return [
    {
      peer: 'caje',
      figure: 'MiB grown at the peak',
      rounds: grown,
      cpuSeconds: results.reduce((sum, result) => sum + result.cpuSeconds, 0),
      comparison: {
        what: 'MiB at most',
        value: Math.max(...grown),
        target: { atMost: TARGET_MIB },
      },
      note: times.join('; '),
    },
    {
      peer: 'caje',
      figure: 'MiB before',
      rounds: results.map(({ before }) => before / MIB),
    },
    {
      peer: 'caje',
      figure: 'MiB a second after',
      rounds: results.map(({ after }) => after / MIB),
    },
  ];
}
