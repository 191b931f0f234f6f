import { patience } from '../../support/patience.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { type CallPoint, failAt, storeCalls, type Tracer, traceObstacle } from '../system-calls.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const SIZE = 700_000;
const ERRORS = ['ENOSPC', 'EIO', 'EDQUOT', 'EROFS'];
/** strace counts calls by thread, so one thread has to make all of those that belong together. */
const ONE_THREAD = { UV_THREADPOOL_SIZE: '1' };
const STORES_AGAIN_MS = 5_000;
/** One that fails leaves its descriptor open here, where the call itself is not made. */
const NOT_FAILED = ['close'];
const INJECTED = '(INJECTED)';

/** Calls of the system that fail. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-13',
    title:
      'whichever call of a store fails, clients get right bytes or see them cut, and no half body is kept',
    quick: 6,
    full: 240,
    obstacle: traceObstacle,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed, env: ONE_THREAD });
      const { dataDir } = site.node;
      await site.whole(keyOf('warm'), SIZE);
      await site.recorded(keyOf('warm'));
      const all = await storeCalls(site.node.pid, dataDir, async () => {
        await site.whole(keyOf('traced'), SIZE);
        await site.recorded(keyOf('traced'));
      });
      const points = all.filter(({ call }) => !NOT_FAILED.includes(call));
      if (points.length === 0) throw new Error('no system call of the store was seen');
      let failed = 0;
      const result = await tryCases(run, async (number) => {
        const place = Math.floor((number * points.length) / run.cases) % points.length;
        const point = points[place];
        const error = ERRORS[number % ERRORS.length];
        if (point === undefined || error === undefined) throw new Error('no such fault');
        try {
          if (await fail(site, number, point, error)) failed++;
        } catch (cause) {
          const what = `${point.call} ${point.number} of thread ${point.thread}, ${error}`;
          throw new Error(`${what}: ${String(cause)}`, { cause });
        }
      });
      run.log(`${points.length} calls; ${failed} of ${run.cases} failed below the data folder`);
      return await alsoTry(result, run, async () => {
        if (failed * 2 < run.cases) throw new Error('most calls did not come again');
        // What it could not remove itself goes once it is dead.
        await site.node.stop();
        await site.finish();
      });
    },
  },
];

/** True: a call below the data folder failed. */
async function fail(
  site: SoakSite,
  number: number,
  point: CallPoint,
  error: string,
): Promise<boolean> {
  const { node } = site;
  const tracer = await failAt(node.pid, point, error);
  const before = await failures(site);
  const key = keyOf(number);
  const recorded = site.recorded(key);
  recorded.catch(() => {});
  try {
    const got = await site.ask(key, SIZE);
    if (got.kind === 'refused') throw new Error(`status ${got.status}`);
    await Promise.race([recorded, failedSince(site, before)]);
  } finally {
    await tracer[Symbol.asyncDispose]();
  }
  if (!node.isRunning) throw new Error(`the node ended:\n${node.lastWords()}`);
  const isOurs = await syncedOnce(tracer, node.dataDir);
  await stored(site, key);
  await recorded;
  return isOurs;
}

async function failures(site: SoakSite): Promise<number> {
  const counters = (await site.control('counters')) as Readonly<Record<string, number>>;
  const failed = Object.entries(counters).filter(([name]) => name.startsWith('stash_failed_total'));
  return failed.reduce((sum, [, count]) => sum + count, 0);
}

async function failedSince(site: SoakSite, before: number): Promise<void> {
  const end = performance.now() + STORES_AGAIN_MS * patience();
  while ((await failures(site)) === before && performance.now() < end) await pause(10);
}

/** True: a call below the folder failed. Throws where a file whose sync failed was synced again. */
async function syncedOnce(tracer: Tracer, folder: string): Promise<boolean> {
  const lines = await tracer.lines();
  const at = lines.findIndex((line) => line.includes(INJECTED));
  const line = lines[at] ?? '';
  const [, path] = /^f(?:data)?sync\(\d+<([^>]+)>/.exec(line) ?? [];
  // A log is written anew before it is synced again, and a folder for the names of others.
  const isBody = path !== undefined && /\/tmp\/|\/spool\//.test(path);
  if (isBody && lines.slice(at + 1).some((later) => later.includes(`<${path}>`)))
    throw new Error(`${path} was synced again`);
  return line.includes(folder);
}

function keyOf(name: number | string): string {
  return `/${name}?size=${SIZE}`;
}

/** Resolves once the body is a hit. Throws where it never becomes one. */
async function stored(site: SoakSite, key: string): Promise<void> {
  const end = performance.now() + STORES_AGAIN_MS * patience();
  while ((await site.whole(key, SIZE)).cache !== 'HIT')
    if (performance.now() > end) throw new Error(`${key} is not stored`);
}
