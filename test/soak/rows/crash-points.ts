import type { SoakResult, SoakRow, SoakRun } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { type CallPoint, killAt, storeCalls, traceObstacle } from '../system-calls.ts';
import { alsoTry, sumOf, tryCases } from '../try-cases.ts';

/** A body in the node's database, one of a block, and one of several. Bytes. */
const SIZES = [1_000, 700_000, 2_500_000];
/** strace counts calls by thread, so one thread has to make all of those that belong together. */
const ONE_THREAD = { UV_THREADPOOL_SIZE: '1' };
/** Where nothing is synced, the same holds: the system has what the process wrote. */
const UNSYNCED = { storage: { local: { type: 'disk', keepFree: 0, durability: 'os' } } };

/** The crash points of a fill, and those from the last byte of a body to its commit. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-01',
    title: 'killed at any call of a cold download, a node has the whole body or none',
    quick: 2,
    full: 240,
    obstacle: traceObstacle,
    run: async (run) => {
      // The largest makes every kind of call that there is.
      const sizes = run.cases < SIZES.length * 2 ? SIZES.slice(-1) : SIZES;
      const share = Math.ceil(run.cases / sizes.length);
      const results: SoakResult[] = [];
      for (const size of sizes)
        results.push(await sweep(size, { ...run, cases: share }, { begin: toRequest }));
      return sumOf(...results);
    },
  },
  {
    id: 'F-02',
    title: 'killed at any call between last byte and commit, a node has the whole body or none',
    quick: 12,
    full: 120,
    quickMs: 180_000,
    obstacle: traceObstacle,
    run: async (run) => {
      const share = Math.ceil(run.cases / SIZES.length);
      const results: SoakResult[] = [];
      // Two at a time: a start is mostly work for one core.
      for (const sizes of [SIZES.slice(0, 2), SIZES.slice(2)]) {
        results.push(
          ...(await Promise.all(
            sizes.map(async (size) => await sweep(size, { ...run, cases: share })),
          )),
        );
      }
      return sumOf(...results);
    },
  },
  {
    id: 'F-02-OS',
    title: 'the same with durability: os',
    quick: 6,
    full: 80,
    obstacle: traceObstacle,
    run: async (run) => {
      const share = Math.ceil(run.cases / 2);
      const each = SIZES.slice(0, 2).map(
        async (size) => await sweep(size, { ...run, cases: share }, { config: UNSYNCED }),
      );
      return sumOf(...(await Promise.all(each)));
    },
  },
];

/** How a sweep differs from that of `F-02`. */
interface SweepOptions {
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  /** Brings a fill to where the sweep begins. Absent: `toLastByte`. */
  readonly begin?: Begin | undefined;
}

type Begin = (site: SoakSite, key: string, size: number) => Promise<Begun>;

/** A fill that has come to where the sweep begins. */
interface Begun {
  /** Lets it go on and resolves once the row is written; false: the node did not live to do it. */
  come(): Promise<boolean>;
}

/** Kills at as many points as asked for, spread over all of them; at each point where there are fewer. */
async function sweep(
  size: number,
  run: SoakRun,
  { config = {}, begin = toLastByte }: SweepOptions = {},
): Promise<SoakResult> {
  const { seed, log } = run;
  await using site = await SoakSite.start({ seed, config, env: ONE_THREAD });
  // The first fill makes folders and threads that the others find.
  await (await begin(site, `/warm?size=${size}`, size)).come();
  const traced = await begin(site, `/traced?size=${size}`, size);
  const points = await storeCalls(site.node.pid, site.node.dataDir, async () => {
    await traced.come();
  });
  if (points.length === 0) throw new Error('no system call of the store was seen');
  log(`${size} bytes: ${points.length} calls to the commit`);
  const cases = Math.max(run.cases, 1);
  let killed = 0;
  const result = await tryCases({ cases, seed, log }, async (number) => {
    const point = points[Math.floor((number * points.length) / cases) % points.length];
    if (point === undefined) throw new Error('no such point');
    try {
      if (await crash({ site, key: `/${number}?size=${size}`, size, begin }, point)) killed++;
    } catch (error) {
      throw new Error(`${point.call} ${point.number} of thread ${point.thread}: ${String(error)}`, {
        cause: error,
      });
    }
  });
  log(`${size} bytes: ${killed} of ${cases} died at their call`);
  return await alsoTry(result, run, async () => {
    if (killed * 2 < cases) throw new Error('most calls did not come again: the sweep saw little');
    await site.finish();
  });
}

interface Case {
  readonly site: SoakSite;
  readonly key: string;
  readonly size: number;
  readonly begin: Begin;
}

/** True: the node died at that call. */
async function crash({ site, key, size, begin }: Case, point: CallPoint): Promise<boolean> {
  const { node, origin } = site;
  if (!node.isRunning) await node.restart(ONE_THREAD);
  const begun = await begin(site, key, size);
  const tracer = await killAt(node.pid, point);
  const lived = await begun.come();
  if (!lived) await node.ended;
  await tracer[Symbol.asyncDispose]();
  const diedAtCall = !node.isRunning;
  await node.kill9();

  await site.audit({ leftovers: true });
  await node.restart(ONE_THREAD);
  origin.resetCounts();
  const { cache } = await site.whole(key, size);
  const { requests } = origin.counts(key);
  if (cache === 'HIT' ? requests !== 0 : cache !== 'MISS' || requests !== 1)
    throw new Error(`${cache} with ${requests} requests to the origin`);
  return diedAtCall;
}

/** Nothing was asked for yet. */
async function toRequest(site: SoakSite, key: string, size: number): Promise<Begun> {
  return await Promise.resolve({
    come: async () => {
      await site.ask(key, size);
      return await isRecorded(site, key);
    },
  });
}

/** The last byte is still with the origin. */
async function toLastByte(site: SoakSite, key: string, size: number): Promise<Begun> {
  const gate = Promise.withResolvers<void>();
  const waits = { pause: { at: size - 1, until: gate.promise } };
  site.serve(key, (_, number) => (number === 1 ? waits : {}));
  const allButOne = Promise.withResolvers<void>();
  const asked = site.ask(key, size, {
    arrived: (bytes) => {
      if (bytes >= size - 1) allButOne.resolve();
    },
  });
  await Promise.race([allButOne.promise, asked]);
  return {
    come: async () => {
      gate.resolve();
      await asked;
      return await isRecorded(site, key);
    },
  };
}

async function isRecorded(site: SoakSite, key: string): Promise<boolean> {
  return await site.recorded(key).then(
    () => true,
    () => false,
  );
}
