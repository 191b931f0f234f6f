import type { SoakRow } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { type CallPoint, killAt, storeCalls, traceObstacle } from '../system-calls.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const SIZE = 100_000;
/** strace counts calls by thread, so one thread has to make all of those that belong together. */
const ONE_THREAD = { UV_THREADPOOL_SIZE: '1' };
/** Of the purged key, after each kill. */
const READS = 20;

/** A purge that is cut short. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-07',
    title:
      'killed at any call of a purge, a node has the entry or not; once acknowledged it is gone',
    quick: 3,
    full: 100,
    obstacle: traceObstacle,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed, env: ONE_THREAD });
      // The first purge prepares what the others find.
      await store(site, keyOf('first'));
      await purge(site, keyOf('first'));
      await store(site, keyOf('traced'));
      const { dataDir } = site.node;
      const points = await storeCalls(site.node.pid, dataDir, async () => {
        await purge(site, keyOf('traced'));
      });
      if (points.length === 0) throw new Error('no system call of a purge was seen');
      let acknowledged = 0;
      const result = await tryCases(run, async (number) => {
        // One more than there are calls: the kill that comes right after the acknowledgement.
        const place = Math.round((number * points.length) / Math.max(run.cases - 1, 1));
        if (await cut(site, keyOf(number), points[place])) acknowledged++;
      });
      run.log(`${points.length} calls; ${acknowledged} of ${run.cases} purges were acknowledged`);
      return await alsoTry(result, run, async () => {
        if (acknowledged === 0 || acknowledged === run.cases)
          throw new Error('only one side of the acknowledgement was seen');
        await site.finish();
      });
    },
  },
];

/** Kills the node at a call of a purge, or after it. True: the purge was acknowledged before. */
async function cut(site: SoakSite, key: string, point: CallPoint | undefined): Promise<boolean> {
  const { node, origin } = site;
  if (!node.isRunning) await node.restart(ONE_THREAD);
  await store(site, key);
  const tracer = point && (await killAt(node.pid, point));
  const isAcknowledged = await purge(site, key).then(
    () => true,
    () => false,
  );
  await node.kill9();
  await tracer?.[Symbol.asyncDispose]();
  await site.audit({ leftovers: true });
  await node.restart(ONE_THREAD);
  const old = origin.version(key);
  origin.bumpVersion(key);
  const versions = new Set<number>();
  for (let read = 0; read < READS; read++) versions.add((await site.whole(key, SIZE)).version);
  if (versions.size > 1) throw new Error(`${key}: several versions after the start`);
  if (isAcknowledged && versions.has(old))
    throw new Error(`${key}: served after its purge was acknowledged`);
  return isAcknowledged;
}

function keyOf(name: number | string): string {
  return `/${name}?size=${SIZE}`;
}

async function store(site: SoakSite, key: string): Promise<void> {
  await site.whole(key, SIZE);
  await site.recorded(key);
}

async function purge(site: SoakSite, path: string): Promise<void> {
  const what = { kind: 'key', value: site.node.url + path, namespace: 'web' };
  const { entries } = (await site.control('purge', what)) as { readonly entries: number };
  if (entries !== 1) throw new Error(`${entries} entries were purged, not one`);
}
