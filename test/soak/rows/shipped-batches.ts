import { setTimeout as delay } from 'node:timers/promises';
import { PrimaryClient } from '../../../src/manifest/primary-client.ts';
import { eventually } from '../../criteria/eventually.ts';
import { manifestPath } from '../../criteria/node-files.ts';
import { holdLease } from '../../support/hold-lease.ts';
import { holdLock } from '../../support/hold-lock.ts';
import { JournalProcesses } from '../../support/journal-processes.ts';
import { patience } from '../../support/patience.ts';
import type { SoakRow } from '../soak-row.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

/** Each transaction of the primary is stretched by so much. */
const COMMIT_MS = 400;
const SLOW = { CAJE_TEST_COMMIT_DELAY_MS: String(COMMIT_MS) };
const PATIENCE_MS = 30_000;
/** How long the nodes' leases last, and in a long run that of a node which is cut off. */
const LEASE_MS = 3_000;
const LONG_LEASE = '30s';
/** Until the lock is tried for again, on a machine that has other work. */
const SLACK_MS = 5_000;

/** Moments of a batch's way at which a node is killed. */
type Moment = (cluster: JournalProcesses, path: string, kill: () => Promise<void>) => Promise<void>;

const MOMENTS: readonly (readonly [string, Moment])[] = [
  [
    'before it is sent',
    async (cluster, path, kill) => {
      cluster.proxy(1).fault = { refuse: true };
      cluster.proxy(1).resetAll();
      await cluster.get(1, path);
      await kill();
    },
  ],
  [
    'received',
    async (cluster, path, kill) => {
      // The batch waits for the lock.
      await using holder = await holdLock(`${manifestPath(cluster.node(0))}-lock`);
      await cluster.get(1, path);
      await delay(200);
      await kill();
      await holder.release();
    },
  ],
  [
    'in its transaction',
    async (cluster, path, kill) => {
      await cluster.get(1, path);
      await delay(COMMIT_MS / 2);
      await kill();
    },
  ],
  [
    'committed, its answer under way',
    async (cluster, path, kill) => {
      await cluster.get(1, path);
      await delay(COMMIT_MS / 2);
      cluster.proxy(1).fault = { partition: true };
      await eventually('the commit', () => cluster.rows(0, path).length, PATIENCE_MS);
      await kill();
    },
  ],
  [
    'answered',
    async (cluster, path, kill) => {
      await cluster.get(1, path);
      await eventually('the commit', () => cluster.rows(0, path).length, PATIENCE_MS);
      await kill();
    },
  ],
  [
    'brought in',
    async (cluster, path, kill) => {
      await cluster.get(1, path);
      await eventually('the row', () => cluster.rows(1, path).length, PATIENCE_MS);
      await kill();
    },
  ],
];

/** What becomes of changes on their way to the primary. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-51-journal',
    title: 'the primary killed at any step of a shipped batch, its row is on all nodes once',
    quick: 6,
    full: 60,
    quickMs: 240_000,
    run: async ({ seed, ...run }) =>
      await killAt(0, { seed, ...run }, (cluster, path) => {
        // What waits in a node that lives is written once the primary is back.
        return cluster.changes(0, path) === 1;
      }),
  },
  {
    id: 'F-53-journal',
    title:
      'a node killed at any step of a batch that it ships leaves its row on all nodes or on none',
    quick: 6,
    full: 50,
    quickMs: 240_000,
    run: async (run) => await killAt(1, run, (cluster, path) => cluster.changes(0, path) <= 1),
  },
  {
    id: 'F-55-journal',
    title:
      'a node paused with a batch on its way, then continued, writes nothing that a purge forbids',
    quick: 1,
    full: 20,
    run: async (run) => {
      await using cluster = await JournalProcesses.start({ seed: run.seed, followers: 1 });
      const result = await tryCases(run, async (number) => {
        const path = `/paused/${number}`;
        await cluster.get(1, `/before/${number}`);
        await eventually('the row before', () => cluster.rows(1, `/before/${number}`).length);
        cluster.proxy(1).fault = { partition: true };
        await cluster.get(1, path);
        process.kill(cluster.node(1).pid, 'SIGSTOP');
        await cluster.node(0).run('purge', '--all');
        process.kill(cluster.node(1).pid, 'SIGCONT');
        cluster.proxy(1).fault = {};
        // A fill that begins before it has heard of the purge is refused too.
        await cluster.level();
        await cluster.get(1, `/after/${number}`);
        await eventually('the next row', () => cluster.rows(0, `/after/${number}`).length);
        await cluster.level();
        if (cluster.changes(0, path) !== 0) throw new Error('the late batch was written');
        const { headers } = await cluster.get(1, path);
        if (headers.get('X-Cache') === 'HIT') throw new Error('what was purged is served');
      });
      return await alsoTry(result, run, async () => await cluster.finish());
    },
  },
  {
    id: 'F-54-journal',
    title:
      'the network of a node cut with a lease in its hand: the others write again when it runs out',
    quick: 2,
    full: 10,
    run: async (run) => {
      const lease = run.cases > 2 ? LONG_LEASE : undefined;
      await using cluster = await JournalProcesses.start({ seed: run.seed, followers: 2, lease });
      return await tryCases(run, async (number) => {
        const path = `/cut/${number}`;
        await using client = new PrimaryClient(cluster.proxy(1).url, { token: cluster.token });
        const { ttlMs } = await client.lease('somebody', 5000);
        cluster.proxy(1).fault = { partition: true };
        try {
          const from = performance.now();
          const [cut, other] = await Promise.all([
            cluster.get(1, `${path}/cut`),
            cluster.get(2, path),
          ]);
          if (cut.status !== 200 || other.status !== 200) throw new Error('an answer failed');
          await eventually('the row', () => cluster.rows(2, path).length, ttlMs + PATIENCE_MS);
          const ms = performance.now() - from;
          // The lease, then a try again at the lock, on a machine that has other work.
          if (ms > ttlMs + SLACK_MS * patience())
            throw new Error(`written only after ${Math.round(ms)} ms`);
        } finally {
          cluster.proxy(1).fault = {};
        }
        await eventually('what waited', () => cluster.rows(2, `${path}/cut`).length, PATIENCE_MS);
        await cluster.level();
      });
    },
  },
  {
    id: 'M7-lease',
    title:
      'the process that holds a lease killed: the primary writes again once it runs out, and not before',
    quick: 1,
    full: 50,
    run: async (run) => {
      const isLong = run.cases > 1;
      await using cluster = await JournalProcesses.start({ seed: run.seed, followers: 1 });
      return await tryCases(run, async (number) => {
        const path = `/leased/${number}`;
        await using holder = await holdLease(cluster.node(0).peerUrl, cluster.token);
        await cluster.get(0, path);
        // Longer than the lease itself: it is renewed as long as its holder lives.
        if (isLong) await delay(1.5 * LEASE_MS);
        if (cluster.rows(0, path).length > 0) throw new Error('written while the holder lives');
        const killed = performance.now();
        await holder.kill9();
        await eventually('the row', () => cluster.rows(0, path).length, PATIENCE_MS);
        const now = performance.now();
        if (now - holder.since < LEASE_MS) throw new Error('written during the lease');
        if (now - killed > LEASE_MS + SLACK_MS * patience())
          throw new Error(`written only ${now - killed} ms later`);
      });
    },
  },
];

async function killAt(
  victim: 0 | 1,
  run: Parameters<SoakRow['run']>[0],
  isRight: (cluster: JournalProcesses, path: string) => boolean,
): ReturnType<SoakRow['run']> {
  await using cluster = await JournalProcesses.start({ seed: run.seed, followers: 2, env: SLOW });
  const result = await tryCases(run, async (number) => {
    const [moment, reach] = MOMENTS[number % MOMENTS.length] ?? [];
    if (moment === undefined || reach === undefined) throw new Error('no such moment');
    const path = `/${victim}/${number}`;
    try {
      await reach(cluster, path, async () => void (await cluster.node(victim).kill9()));
    } finally {
      cluster.proxy(1).fault = {};
      if (!cluster.node(victim).isRunning) await cluster.node(victim).restart();
    }
    // Whatever comes after it is behind it in each queue.
    const next = `${path}/next`;
    await cluster.get(1, next);
    await eventually(`a row after ${moment}`, () => cluster.rows(2, next).length, PATIENCE_MS);
    await cluster.level();
    if (!isRight(cluster, path))
      throw new Error(`${moment}: ${cluster.changes(0, path)} changes of it are in the journal`);
  });
  return await alsoTry(result, run, async () => await cluster.finish());
}
