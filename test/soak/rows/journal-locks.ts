import { setTimeout as delay } from 'node:timers/promises';
import { OfdLock } from '@caje/litefs';
import { Agent, request } from 'undici';
import { openDatabase } from '../../../src/sqlite/open-database.ts';
import { eventually } from '../../criteria/eventually.ts';
import { manifestPath } from '../../criteria/node-files.ts';
import { holdLock } from '../../support/hold-lock.ts';
import { JournalProcesses } from '../../support/journal-processes.ts';
import { LOOP_DELAY_ENV, LoopWatch } from '../../support/loop-delay.ts';
import { patience } from '../../support/patience.ts';
import { askExpecting, askJournal, counterOf, rowsBelow, untilRows } from '../journal-asks.ts';
import type { SoakRow, SoakRun } from '../soak-row.ts';
import { alsoTry, sumOf, tryCases } from '../try-cases.ts';

const HOT = '/hot?size=2000';
const PATIENCE_MS = 60_000;
const LANES = 8;
/** How long another holds the manifest, in a quick and in a long run. */
const HOLD_MS = 1_000;
const LONG_HOLD_MS = 10_000;
const LONG_RUN = 100;
/** Longest that a primary's lock may be held, and until what holds it for longer is rolled back (F-57). */
const LOCK_MS = 1_000;
const ROLLBACK_MS = 5_000;
const GAP_MS = 250;
/** A field so large that few rows fill the queue of 16 MiB, and what of rows does fill it. */
const LARGE_FIELD = 60_000;
const LARGE_PAGES = 400;

/** Ways for another process to keep a manifest from being written. */
const HOLDS = {
  lock: async (path: string): Promise<AsyncDisposable> => await holdLock(`${path}-lock`),
  database: async (path: string): Promise<AsyncDisposable> => {
    const database = openDatabase(path);
    database.exec('BEGIN IMMEDIATE');
    return {
      // Closing it rolls back, and may be done twice.
      [Symbol.asyncDispose]: async () => void (await Promise.resolve(database.close())),
    };
  },
} as const;

/** What becomes of requests while a journal cluster cannot write. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-52',
    title: 'without a primary hits are served, misses pass through, and no event loop stands still',
    quick: 60,
    full: 1_000,
    run: async (run) => {
      await using cluster = await watchedCluster(run);
      await cluster.node(0).kill9();
      using watch = await LoopWatch.start([cluster.node(1), cluster.node(2)]);
      let cold = 0;
      const asked = await tryCases({ ...run, lanes: LANES }, async (number) => {
        const isHit = number % 4 < 2;
        const path = isHit ? HOT : `/cold/${number}`;
        if (!isHit) cold++;
        await askExpecting(cluster, 1 + (number % 2), path, isHit ? 'HIT' : 'MISS');
      });
      return await alsoTry(asked, run, async () => {
        const { p99, max } = await watch.expectQuick(LONG_HOLD_MS);
        run.log(`event loops: p99 ${Math.round(p99)} ms, most ${Math.round(max)} ms`);
        for (const index of [1, 2]) await expectMark(cluster, index, 'primary_failures_total');
        await cluster.node(0).restart();
        await untilRows(cluster, '/cold/', cold, PATIENCE_MS);
        await cluster.finish();
      });
    },
  },
  {
    id: 'F-57-journal',
    title: `the primary's lock is held for less than a second, and what takes 5 s is rolled back`,
    quick: 60,
    full: 1_000,
    run: async (run) => {
      await using cluster = await JournalProcesses.start({ seed: run.seed, followers: 2 });
      await askJournal(cluster, 0, HOT);
      const holds = watchLock(cluster);
      const asked = await tryCases({ ...run, lanes: LANES }, async (number) => {
        const before = holds.longest;
        await askJournal(cluster, number % 3, `/short/${number}`);
        if (holds.longest > LOCK_MS * patience() && holds.longest > before)
          throw new Error(`the lock was held for ${Math.round(holds.longest)} ms`);
      });
      const result = await alsoTry(asked, run, async () => {
        await untilRows(cluster, '/short/', run.cases, PATIENCE_MS);
        const longest = Math.round(holds.end());
        run.log(`held for ${longest} ms at most`);
        if (longest > LOCK_MS * patience()) throw new Error(`the lock was held for ${longest} ms`);
        if (run.cases > LONG_RUN) await rollBack(cluster);
        await cluster.finish();
      });
      holds.end();
      return result;
    },
  },
  {
    id: 'F-61',
    title:
      'while another holds the lock or the database, requests are served, no event loop stands still, and rows wait up to a limit',
    quick: 24,
    full: 1_000,
    run: async (run) => {
      await using cluster = await watchedCluster(run);
      const cases = run.cases / 2;
      const ofLock = await underHold(cluster, { ...run, cases }, 'lock');
      const ofDatabase = await underHold(cluster, { ...run, cases }, 'database');
      return await alsoTry(sumOf(ofLock, ofDatabase), run, async () => {
        await overflow(cluster);
        await cluster.finish();
      });
    },
  },
];

/** A primary and two followers whose event loops are watched, each with a page that is a hit. */
async function watchedCluster({ seed }: SoakRun): Promise<JournalProcesses> {
  const cluster = await JournalProcesses.start({ seed, followers: 2, everyEnv: LOOP_DELAY_ENV });
  for (const index of cluster.nodes.keys()) await askJournal(cluster, index, HOT);
  await untilRows(cluster, '/hot', 1, PATIENCE_MS);
  for (const index of cluster.nodes.keys()) await askJournal(cluster, index, HOT);
  return cluster;
}

/** Asks all nodes for what they have and for what they have not, for as long as another holds the primary's manifest. */
async function underHold(
  cluster: JournalProcesses,
  run: SoakRun,
  what: keyof typeof HOLDS,
): ReturnType<SoakRow['run']> {
  const holdMs = run.cases > LONG_RUN ? LONG_HOLD_MS : HOLD_MS;
  const prefix = `/under-${what}/`;
  let cold = 0;
  using watch = await LoopWatch.start(cluster.nodes);
  await using stack = new AsyncDisposableStack();
  const hold = stack.use(await HOLDS[what](manifestPath(cluster.node(0))));
  const from = performance.now();
  const asked = await tryCases({ ...run, lanes: LANES }, async (number) => {
    const isHit = number % 6 < 3;
    const path = isHit ? HOT : `${prefix}${number}`;
    if (!isHit) cold++;
    await askExpecting(cluster, number % 3, path, isHit ? 'HIT' : 'MISS');
    // Spread over the time for which it is held.
    await delay((LANES * holdMs) / run.cases);
  });
  await delay(Math.max(0, holdMs - (performance.now() - from)));
  return await alsoTry(asked, run, async () => {
    const { p99, max } = await watch.expectQuick(holdMs);
    run.log(`${what}: p99 ${Math.round(p99)} ms, most ${Math.round(max)} ms`);
    if (cluster.changes(0, `${prefix}%`) > 0) throw new Error('it was written meanwhile');
    if (holdMs > HOLD_MS)
      await expectMark(
        cluster,
        0,
        what === 'lock' ? 'halt_timeouts_total' : 'commit_retries_total{SQLITE_BUSY}',
      );
    await hold[Symbol.asyncDispose]();
    await untilRows(cluster, prefix, cold, PATIENCE_MS);
  });
}

/** Fills the queue of the primary while it cannot write: every answer is whole, what has no room is counted, the rest is written. */
async function overflow(cluster: JournalProcesses): Promise<void> {
  const field = 'x'.repeat(LARGE_FIELD);
  cluster.origin.rule = ({ key }) =>
    key.startsWith('/large/') ? { headers: [['Large', field]] } : undefined;
  await using agent = disposable(new Agent({ maxHeaderSize: 2 * LARGE_FIELD }));
  await using hold = await holdLock(`${manifestPath(cluster.node(0))}-lock`);
  const droppedSoFar = async (): Promise<number> =>
    await counterOf(cluster.node(0), 'changes_dropped_total');
  const before = await droppedSoFar();
  let asked = 0;
  let dropped = 0;
  while (dropped === 0 && asked < LARGE_PAGES) {
    const pages = Array.from({ length: LANES * 4 }, async () => {
      const { statusCode, body } = await request(`${cluster.node(0).url}/large/${asked++}`, {
        headers: { host: 'www.example.com' },
        dispatcher: agent.agent,
      });
      const { byteLength } = await body.arrayBuffer();
      if (statusCode !== 200 || byteLength !== 1024) throw new Error(`answered ${statusCode}`);
    });
    await Promise.all(pages);
    dropped = (await droppedSoFar()) - before;
  }
  if (dropped === 0) throw new Error('nothing was ever dropped');
  await hold.release();
  // An answer may be out before its change is handed to the full queue.
  let rows = 0;
  const isAllKnown = async (): Promise<boolean> => {
    rows = rowsBelow(cluster, 0, '/large/');
    return rows + (await droppedSoFar()) - before === asked;
  };
  await eventually('a row or a drop of each', isAllKnown, PATIENCE_MS);
  await untilRows(cluster, '/large/', rows, PATIENCE_MS);
}

/** A transaction that takes too long is rolled back, and written once it does not. */
async function rollBack(cluster: JournalProcesses): Promise<void> {
  const primary = cluster.node(0);
  const path = '/slow';
  await primary.stop();
  await primary.restart({ CAJE_TEST_COMMIT_DELAY_MS: String(ROLLBACK_MS + 200) });
  const lock = `${manifestPath(primary)}-lock`;
  await askJournal(cluster, 1, path);
  await eventually('its transaction', () => isHeld(lock), PATIENCE_MS);
  const from = performance.now();
  await eventually('its end', () => !isHeld(lock), PATIENCE_MS);
  const ms = performance.now() - from;
  if (ms > ROLLBACK_MS + LOCK_MS) throw new Error(`rolled back only after ${Math.round(ms)} ms`);
  await eventually(
    'its mark',
    async () => await counterOf(primary, 'commit_retries_total{conflict}'),
  );
  if (cluster.changes(0, path) > 0) throw new Error('it was written after its lease');
  await primary.kill9();
  await primary.restart();
  await eventually('its row', () => cluster.rows(2, path).length, PATIENCE_MS);
  await cluster.level();
  if (cluster.changes(0, path) !== 1) throw new Error('it is not there once');
}

/** Looks at the primary's lock every millisecond: what it sees as one may be several that follow each other. */
function watchLock(cluster: JournalProcesses): { readonly longest: number; end(): number } {
  const path = `${manifestPath(cluster.node(0))}-lock`;
  const lock = new OfdLock(path, { create: false });
  let since: number | undefined;
  let looked = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    // What happened while this process itself stood still is not known.
    if (now - looked > GAP_MS || !lock.isHeldElsewhere()) since = undefined;
    else since ??= now;
    longest = Math.max(longest, now - (since ?? now));
    looked = now;
  }, 1);
  let isOver = false;
  return {
    get longest() {
      return longest;
    },
    end: () => {
      clearInterval(timer);
      if (!isOver) lock.close();
      isOver = true;
      return longest;
    },
  };
}

function isHeld(path: string): boolean {
  using lock = new OfdLock(path, { create: false });
  return lock.isHeldElsewhere();
}

async function expectMark(cluster: JournalProcesses, index: number, name: string): Promise<void> {
  if ((await counterOf(cluster.node(index), name)) === 0)
    throw new Error(`node ${index} has no ${name}`);
}

function disposable(agent: Agent): AsyncDisposable & { readonly agent: Agent } {
  return { agent, [Symbol.asyncDispose]: async () => await agent.destroy() };
}
