import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from '../../criteria/eventually.ts';
import { JournalProcesses } from '../../support/journal-processes.ts';
import type { SoakRow } from '../soak-row.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const PATIENCE_MS = 30_000;
/** Pages asked for while a follower is killed. */
const PAGES = 40;

/** What becomes of those who follow, and of the cluster when another takes the lead. */
export const rows: readonly SoakRow[] = [
  {
    id: 'J3-journal',
    title:
      'a follower killed while rows come in has no gap and no change twice, and ends with equal rows',
    quick: 2,
    full: 50,
    run: async (run) => {
      await using cluster = await JournalProcesses.start({ seed: run.seed, followers: 2 });
      const result = await tryCases(run, async (number, random) => {
        const asked = Array.from({ length: PAGES }, async (_, page) => {
          await delay(page * 10);
          await cluster.get(page % 2 === 0 ? 0 : 1, `/${number}/${page}`);
        });
        await delay(random.integer(20, 500));
        await cluster.node(2).kill9();
        await Promise.all(asked);
        await cluster.node(2).restart();
        for (let page = 0; page < PAGES; page++) {
          await eventually(
            `row ${page}`,
            () => cluster.rows(2, `/${number}/${page}`).length,
            PATIENCE_MS,
          );
        }
        await cluster.level();
      });
      return await alsoTry(result, run, async () => await cluster.finish());
    },
  },
  {
    id: 'F-58-journal',
    title:
      'a failover that loses the last writes: they are misses, and what was purged is never served',
    quick: 1,
    full: 500,
    quickMs: 240_000,
    run: async (run) =>
      await tryCases(run, async (number) => {
        await using cluster = await JournalProcesses.start({
          seed: run.seed + number,
          followers: 2,
        });
        for (const path of ['/kept', '/purged', '/away']) {
          await cluster.get(0, path);
          await eventually('the row', () => cluster.rows(2, path).length, PATIENCE_MS);
        }
        await cluster.node(0).run('purge', 'http://www.example.com/purged');
        // From here on the second node hears of nothing; the third is away altogether.
        cluster.proxy(1).fault = { refuse: true };
        cluster.proxy(1).resetAll();
        await cluster.node(2).kill9();
        await cluster.get(0, '/lost');
        await eventually('the row', () => cluster.rows(0, '/lost').length, PATIENCE_MS);
        await cluster.node(0).kill9();
        const promoted = await cluster.node(1).run('primary', 'promote', '--json');
        if (promoted.code !== 0) throw new Error(`promote: ${promoted.stderr}`);
        const purged = await cluster.node(1).run('purge', 'http://www.example.com/away');
        if (purged.code !== 0) throw new Error(`purge: ${purged.stderr}`);
        cluster.proxy(1).fault = {};
        await Promise.all([cluster.node(0).restart(), cluster.node(2).restart()]);
        for (const [index] of cluster.nodes.entries()) {
          for (const path of ['/purged', '/away']) {
            const before = cluster.origin.counts(path).requests;
            const { headers } = await cluster.get(index, path);
            const isFresh = cluster.origin.counts(path).requests > before;
            // The first one that asks fills it for the others.
            if (index === 0 && headers.get('X-Cache') === 'HIT' && !isFresh)
              throw new Error(`${path} is served after its purge`);
          }
        }
        await eventually(
          'the former primary follows',
          async () => (await cluster.node(0).run('primary', '--json')).stdout.includes('"replica"'),
          PATIENCE_MS,
        );
        await cluster.level();
        if (cluster.rows(0, '/lost').length > 0) throw new Error('what was lost is there');
        if (cluster.rows(0, '/kept').length !== 1) throw new Error('what was kept is not');
        await cluster.finish();
      }),
  },
];
