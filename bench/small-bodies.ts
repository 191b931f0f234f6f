import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '../src/clock.ts';
import { silentLogger } from '../src/log.ts';
import { Metrics } from '../src/metrics.ts';
import type { Incoming, Sealed } from '../src/storage/backend.ts';
import { type Digest, parseDigest } from '../src/storage/digest.ts';
import { DiskBackend } from '../src/storage/disk-backend.ts';
import type { Durability } from '../src/storage/durability.ts';
import { NodeDatabase } from '../src/storage/node-database.ts';
import {
  type Bench,
  numberOf,
  type Row,
  ratio,
  type Settings,
  tempFolder,
} from './support/bench.ts';

const KIB = 1024;
const SIZES = [1, 4, 16, 32, 64, 128, 256, 512, 1024].map((kib) => kib * KIB);
/** Of one size, in one round. */
const ROUND_BYTES = 32 * KIB * KIB;
const MAX_BODIES = 1000;
const WORK = ['put', 'get'] as const;

interface Place {
  readonly peer: string;
  readonly backend: DiskBackend;
  /** Where a body lies before the store has it. Absent: in memory. */
  readonly spool?: string | undefined;
  /** Microseconds of CPU, by size and work. */
  readonly used: ReadonlyMap<string, number[]>;
}

interface SealedBody extends Sealed {
  readonly bytes: Buffer;
}

/** What a body costs in the node's database and in a file of its own, by its size. */
export const smallBodies: Bench = {
  name: 'small-bodies',
  question:
    'CPU of the process per body that is put and that is read, in the node database beside a file of its own, by size.',
  settings: { rounds: '3', parallel: '32', durability: 'full' },
  run,
};

async function run(settings: Settings): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder()).path;
  const durability = durabilityOf(settings);
  const start = async (peer: string, smallBody: number): Promise<Place> => {
    const parts = { clock: new SystemClock(), log: silentLogger, metrics: new Metrics() };
    const path = join(folder, peer, 'node.db');
    const database = stack.use(await NodeDatabase.open({ ...parts, path }));
    const root = join(folder, peer, 'blobs');
    const keepFree = { kind: 'bytes', bytes: 0 } as const;
    const options = { name: peer, root, database, durability, smallBody, keepFree };
    const backend = stack.use(new DiskBackend({ ...parts, ...options }));
    const spool = smallBody === 0 ? join(folder, peer, 'spool') : undefined;
    if (spool !== undefined) await mkdir(spool);
    return { peer, backend, spool, used: new Map(figures().map((figure) => [figure, []])) };
  };
  const file = await start('file', 0);
  const places = [await start('database', Number.POSITIVE_INFINITY), file];
  const parallel = numberOf(settings, 'parallel');
  for (const place of places) await measure(place, bodiesOf(16 * KIB), parallel);
  for (const { used } of places) for (const rounds of used.values()) rounds.length = 0;
  for (let round = 0; round < numberOf(settings, 'rounds'); round++) {
    for (const size of SIZES)
      for (const place of places) await measure(place, bodiesOf(size), parallel);
  }
  return figures().flatMap((figure) => places.map((place) => rowOf(place, file, figure)));
}

async function measure(
  place: Place,
  bodies: readonly SealedBody[],
  parallel: number,
): Promise<void> {
  const { backend, spool, used } = place;
  const note = async (work: (typeof WORK)[number], call: (body: SealedBody) => Promise<void>) => {
    const before = process.cpuUsage();
    await inLanes(bodies, parallel, call);
    const { user, system } = process.cpuUsage(before);
    used.get(figureOf(work, bodies[0]?.size ?? 0))?.push((user + system) / bodies.length);
  };
  await note('put', async (body) => void (await backend.put(incomingOf(body, spool))));
  await note('get', async ({ digest, size }) => {
    const opened = await backend.open(digest);
    if (opened?.bytes?.length !== size) throw new Error(`${digest} did not come back`);
  });
}

async function inLanes<T>(
  items: readonly T[],
  lanes: number,
  call: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const lane = async (): Promise<void> => {
    for (const item of rest) await call(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** Bodies that nobody has seen. */
function bodiesOf(size: number): readonly SealedBody[] {
  const count = Math.min(MAX_BODIES, ROUND_BYTES / size);
  return Array.from({ length: count }, () => {
    const bytes = randomBytes(size);
    const blocks = createHash('sha256').update(bytes).digest();
    return { bytes, size, blocks, digest: parseDigest(blocks.toString('hex')) };
  });
}

/** A body as a fill hands it over: in memory, or in a spool file whose writing counts. */
function incomingOf({ bytes, ...sealed }: SealedBody, spool: string | undefined): Incoming {
  const common = {
    sealed: Promise.resolve(sealed),
    open: () => {
      throw new Error('nothing reads it in another way');
    },
  };
  if (spool === undefined) return { ...common, bytes };
  return { ...common, takeFile: async () => await spooled(spool, sealed.digest, bytes) };
}

async function spooled(folder: string, digest: Digest, bytes: Buffer): Promise<string> {
  const path = join(folder, digest);
  await writeFile(path, bytes);
  return path;
}

function figures(): string[] {
  return WORK.flatMap((work) => SIZES.map((size) => figureOf(work, size)));
}

function figureOf(work: (typeof WORK)[number], size: number): string {
  return `µs CPU per ${work}, ${size / KIB} KiB`;
}

function rowOf({ peer, used }: Place, file: Place, figure: string): Row {
  const rounds = used.get(figure) ?? [];
  const reference = file.used.get(figure) ?? [];
  return {
    peer,
    figure,
    rounds,
    ...(rounds !== reference && {
      comparison: { what: '× file', value: ratio(rounds, reference) },
    }),
  };
}

function durabilityOf({ durability = '' }: Settings): Durability {
  if (durability === 'full' || durability === 'os') return durability;
  throw new Error(`--durability is ${durability}: expected full or os`);
}
