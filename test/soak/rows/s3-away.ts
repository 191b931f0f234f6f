import { LIVE_MEMORY_ENV, liveMemory } from '../../support/live-memory.ts';
import { s3ServerMissing } from '../../support/s3-server.ts';
import { S3Site } from '../../support/s3-site.ts';
import type { SoakRow, SoakRun } from '../soak-row.ts';
import { pause } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const MIB = 1024 ** 2;
const PER_SECOND = 100;
/** What a node may need more of than before, once garbage is collected. */
const GROWTH = 32 * MIB;
/**
 * What its resident memory may grow by. It rises to a plateau that V8 chooses: the young generation from 64 to 128 MiB in the
 * first minute, the old one from 35 to 100 MiB, with up to 45 MiB of dead buffers, until a whole collection brings it back.
 * On a busy machine, at 20, 60, 120, 180, 215, 246, 300, 460, 519 and 600 s: resident 235, 314, 338, 368, 416, 416, 416, 433,
 * 434, 435 MiB; used 59, 83, 95, 133, 150, 50, 53, 83, 43, 66 MiB.
 */
const RESIDENT_GROWTH = 256 * MIB;
const FULL = 60_000;
const KEPT = 50;
/** Requests before the store goes, so that what a running node needs is there. */
const WARM_UP = 2_000;
/** Until the calls that were under way have failed. */
const SETTLE_MS = 3_000;
const LARGE = 9 * MIB;

const obstacle = async (): Promise<string | undefined> => await Promise.resolve(s3ServerMissing());

/** Stores in S3 that go away and come back. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-37',
    title:
      'with S3 away at 100 requests a second clients get their bodies, and it is asked once a second',
    quick: 3_000,
    full: FULL,
    obstacle,
    run: async (run) => await withoutStore(run),
  },
  {
    id: 'S3-STOP',
    title:
      'S3 stopped, killed or full for a while costs no client its body, and is used again afterwards',
    quick: 3,
    full: 9,
    obstacle,
    run: async (run) => {
      const timeouts = { answer: '1s', idle: '2s', copy: '2s' };
      await using s3 = await S3Site.start({ seed: run.seed, storage: { timeouts } });
      const ms = run.cases < 9 ? 5_000 : 30_000;
      return await tryCases(run, async (number) => await loseStore(s3, number, ms));
    },
  },
];

async function withoutStore(run: SoakRun): ReturnType<SoakRow['run']> {
  await using s3 = await S3Site.start({ seed: run.seed, env: LIVE_MEMORY_ENV });
  const { site, proxy, server } = s3;
  await Promise.all(
    Array.from({ length: KEPT }, async (_, key) => await s3.kept(keptKey(key), 10_000)),
  );
  await tryCases(
    { ...run, cases: WARM_UP, lanes: 8 },
    async (number) => await ask(s3, 'warm', number),
  );
  const liveBefore = await liveMemory(site.node);
  const before = site.node.memory().rss;
  let most = before;
  const watch = setInterval(() => {
    most = Math.max(most, site.node.memory().rss);
  }, 100);
  await server.kill();
  const from = performance.now();
  let next = 0;
  const lane = async (): Promise<void> => {
    const due = from + (next++ / PER_SECOND) * 1_000;
    await pause(Math.max(0, due - performance.now()));
  };
  const result = await tryCases({ ...run, lanes: PER_SECOND }, async (number) => {
    await lane();
    await ask(s3, 'away', number);
  });
  clearInterval(watch);
  const to = performance.now();
  const resident = most - before;
  const live = (await liveMemory(site.node)) - liveBefore;
  const grown = `grew by ${inMib(live)} MiB, resident by ${inMib(resident)} MiB`;
  // One in a thousand may fail.
  const passed = result.passed >= result.cases * 0.999 ? result.cases : result.passed;
  const late = proxy.calls.filter(({ at }) => at > from + SETTLE_MS && at < to);
  const probes = new Set(late.map(({ invocation }) => invocation)).size;
  const seconds = (to - from - SETTLE_MS) / 1_000;
  run.log(
    `${result.passed}/${result.cases} in ${(seconds + SETTLE_MS / 1_000).toFixed(1)} s, ${probes} probes, ${grown}`,
  );
  const memory = await alsoTry({ passed, cases: result.cases }, run, async () => {
    if (live > GROWTH || resident > RESIDENT_GROWTH) throw new Error(grown);
    await Promise.resolve();
  });
  const calm = await alsoTry(memory, run, async () => {
    if (probes > seconds + 1) throw new Error(`${probes} probes in ${seconds.toFixed(1)} s`);
    if (probes < seconds / 4) throw new Error(`only ${probes} probes in ${seconds.toFixed(1)} s`);
    await Promise.resolve();
  });
  return await alsoTry(calm, run, async () => {
    await server.start();
    await s3.kept('/back?size=10000', 10_000);
    await s3.kept(keptKey(0), 10_000);
  });
}

/** Every other request is for what was kept, the rest for what never was. */
async function ask({ site }: S3Site, name: string, number: number): Promise<void> {
  const size = 1_000 + (number % 100) * 100;
  if (number % 2 === 0) await site.whole(keptKey(number % KEPT), 10_000);
  else await site.whole(`/${name}/${number}?size=${size}`, size);
}

function inMib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}

function keptKey(number: number): string {
  return `/kept/${number}?size=10000`;
}

async function loseStore(s3: S3Site, number: number, ms: number): Promise<void> {
  const { site, proxy, server } = s3;
  const how = (['stop', 'kill', 'full'] as const)[number % 3];
  const small = `/${number}/small?size=10000`;
  await s3.kept(small, 10_000);
  await s3.kept(`/${number}/large?size=${LARGE}`, LARGE);
  if (how === 'stop') server.pause();
  else if (how === 'kill') await server.kill();
  else
    proxy.rule = {
      before: ({ verb }) =>
        ['begin', 'complete', 'copy', 'part', 'put'].includes(verb)
          ? { status: 507, code: 'InsufficientStorage' }
          : undefined,
    };
  const end = performance.now() + ms;
  const client = async (_: unknown, lane: number): Promise<void> => {
    for (let round = 0; performance.now() < end; round++) {
      await site.whole(small, 10_000);
      await site.whole(`/${number}/${lane}/${round}?size=20000`, 20_000);
      if (lane > 0) continue;
      await site.whole(`/${number}/large?size=${LARGE}`, LARGE);
      await site.whole(`/${number}/${round}/new?size=${LARGE}`, LARGE);
    }
  };
  // A client that does not get its body throws; the store comes back all the same.
  const clients = await Promise.allSettled(Array.from({ length: 4 }, client));
  if (how === 'stop') server.resume();
  else if (how === 'kill') await server.start();
  else proxy.rule = {};
  const failed = clients.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw new Error(`${how}: ${String(failed.reason)}`);
  const { 'stash_failed_total{unavailable}': missed = 0 } = await site.node.counters();
  if (missed === 0) throw new Error(`${how}: nothing says what was not kept`);
  await s3.kept(`/${number}/after?size=${LARGE}`, LARGE);
  await s3.kept(small, 10_000);
}
