import { setTimeout as delay } from 'node:timers/promises';
import { databases } from '@caje/litefs';
import { isDamaged, openDatabase, sqliteCode } from '../../../src/sqlite/open-database.ts';
import { auditRows } from '../../support/litefs-audit.ts';
import { halted } from '../../support/litefs-checks.ts';
import { LiteFsCluster, type LiteFsNode, liteFsObstacle } from '../../support/litefs-cluster.ts';
import { killWriters } from '../../support/litefs-kills.ts';
import { MANIFEST } from '../../support/litefs-writer.ts';
import { LiteFsWriters } from '../litefs-writers.ts';
import type { SoakRow } from '../soak-row.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const obstacle = async (): Promise<string | undefined> => await Promise.resolve(liteFsObstacle());

/** Longest until others write again, after the holder's process was killed. */
const FREE_MS = 2000;
/** The same after its LiteFS was: 30 s that a lock lasts, 5 s until that is looked at, 5 s more. */
const FREE_LITEFS_MS = 40_000;
/** Longest that the lock is asked for in vain. */
const GIVE_UP_MS = 13_000;
const BACK_MS = 10_000;
/** How long a holder is stopped: longer than its own lease, and in long runs longer than LiteFS'. */
const PAUSE_MS = 7000;
const LONG_PAUSE_MS = 40_000;
const LONG_RUN = 5;
/** Each transaction of a holder that is stopped in one. */
const SECTION_MS = 1500;
const MODES = ['delete', 'truncate', 'persist'] as const;

/** Faults of HALT on a real LiteFS; with journal clusters other rows try the same. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-51-litefs',
    title: 'a writer killed in its COMMIT loses nothing that was acknowledged',
    quick: 2,
    full: 60,
    obstacle,
    run: async (run) => {
      await using cluster = await LiteFsCluster.start({ nodes: 2 });
      const acknowledged: string[] = [];
      const result = await tryCases(run, async (number, random) => {
        const kill = await killWriters(cluster, 1, () => random.fraction(), `c${number}`);
        acknowledged.push(...kill.acknowledged);
        if (kill.orphans > 0) run.log(`case ${number}: left behind, found and healed`);
      });
      return await alsoTry(result, run, async () => {
        const keys = new Set((await auditRows(cluster)).map(({ key }) => key));
        const lost = acknowledged.filter((key) => !keys.has(key));
        if (lost.length > 0) throw new Error(`lost: ${lost.join(', ')}`);
      });
    },
  },
  {
    id: 'F-53-litefs',
    title: `when who holds HALT is killed, others write again within ${FREE_MS} ms`,
    quick: 2,
    full: 50,
    obstacle,
    run: async (run) => {
      await using writers = await LiteFsWriters.start();
      return await tryCases(run, async (number, random) => {
        await using victim = await writers.onReplica(400);
        await writers.purge(`purged-${number}`, victim);
        void victim.begin(`victim-${number}`);
        await halted(writers.replica);
        await delay(random.integer(0, 200));
        await victim.kill9();
        await writers.written(`after-${number}`, FREE_MS);
        await writers.count(1, `after-${number}`);
        await writers.count(0, `victim-${number}`);
      });
    },
  },
  {
    id: 'F-54-litefs',
    title: `when the LiteFS of who holds HALT freezes or dies, others write again within ${FREE_LITEFS_MS} ms`,
    quick: 1,
    full: 10,
    obstacle,
    run: async (run) => {
      await using writers = await LiteFsWriters.start();
      return await tryCases(run, async (number) => {
        await using holder = await writers.onReplica(300);
        await writers.purge(`purged-${number}`, holder);
        const put = holder.begin(`held-${number}`);
        await halted(writers.replica);
        if (number % 2 === 0) await writers.replica.kill9();
        else writers.replica.pause();
        await writers.written(`others-${number}`, FREE_LITEFS_MS);
        await writers.restart();
        await put;
        await writers.count(1, `held-${number}`, `others-${number}`);
      });
    },
  },
  {
    id: 'F-55-litefs',
    title: 'a holder that was stopped for longer than its lease commits nothing under it',
    quick: 1,
    full: 20,
    obstacle,
    run: async (run) => {
      await using writers = await LiteFsWriters.start();
      const pauseMs = run.cases > LONG_RUN ? LONG_PAUSE_MS : PAUSE_MS;
      return await tryCases(run, async (number) => {
        await using holder = await writers.onReplica(SECTION_MS);
        await writers.purge(`purged-${number}`, holder);
        const put = holder.begin(`late-${number}`);
        await halted(writers.replica);
        // It is inside its section once the database is locked there.
        const { url } = writers.replica;
        const inside = async (): Promise<boolean> =>
          (await databases({ url })).get(MANIFEST)?.isLocked === true;
        await writers.replica.until(inside, 'its transaction');
        holder.process.kill('SIGSTOP');
        const other = writers.primary.begin(`meanwhile-${number}`);
        await delay(pauseMs);
        holder.process.kill('SIGCONT');
        await other;
        // LiteFS may lock itself up when its own lease was over too.
        await writers.replica.until(
          async () => {
            if (holder.wedged) await writers.restart();
            holder.wedged = false;
            return (await Promise.race([put, delay(500)])) !== undefined;
          },
          'the late change',
          FREE_LITEFS_MS,
        );
        const { counters } = await holder.state();
        if (counters['halt_lost_total{lease}'] === undefined) throw new Error('no lease ran out');
        await writers.count(1, `late-${number}`, `meanwhile-${number}`);
      });
    },
  },
  {
    id: 'F-56-litefs',
    title: `without a primary nothing is written, the lock is given up within ${GIVE_UP_MS} ms, and the change comes later`,
    quick: 2,
    full: 50,
    obstacle,
    run: async (run) => {
      await using writers = await LiteFsWriters.start();
      await using writer = await writers.onReplica();
      return await tryCases(run, async (number) => {
        await writers.purge(`purged-${number}`, writer);
        await writers.cluster.primary.kill9();
        const put = writer.begin(`refused-${number}`);
        await writers.replica.until(
          async () => writer.problem !== undefined,
          'the refusal',
          GIVE_UP_MS,
        );
        await writers.cluster.primary.start();
        const { outcome } = await put;
        if (outcome !== 'committed') throw new Error(outcome);
        await writers.count(1, `refused-${number}`);
        await writers.written(`primary-${number}`, BACK_MS);
      });
    },
  },
  {
    id: 'F-57-litefs',
    title: 'HALT is held for less than a second',
    quick: 20,
    full: 1000,
    obstacle,
    run: async (run) => {
      await using writers = await LiteFsWriters.start();
      await using writer = await writers.onReplica();
      const result = await tryCases(run, async (number) => {
        await writer.put(`short-${number}`);
        const { counters } = await writer.state();
        if (counters['halt_slow_total'] !== 0) throw new Error('held for more than a second');
      });
      return await alsoTry(result, run, async () => void (await writers.audit()));
    },
  },
  {
    id: 'F-59-litefs',
    title: `a mount that went and came back is in use again within ${BACK_MS} ms`,
    quick: 2,
    full: 100,
    obstacle,
    run: async (run) => {
      await using writers = await LiteFsWriters.start();
      await using writer = await writers.onReplica();
      return await tryCases(run, async (number) => {
        await writers.purge(`purged-${number}`, writer);
        if (number % 2 === 0) await writers.replica.kill9();
        else await writers.replica.stop();
        const put = writer.begin(`away-${number}`);
        await delay(300);
        await writers.replica.start();
        const back = performance.now();
        await put;
        const ms = Math.round(performance.now() - back);
        if (ms > BACK_MS) throw new Error(`in use only after ${ms} ms`);
        await writers.count(1, `away-${number}`);
      });
    },
  },
  {
    id: 'F-60-litefs',
    title: 'a write on a replica without HALT is refused as such, and is no damage',
    quick: MODES.length,
    full: 20 * MODES.length,
    obstacle,
    run: async (run) => {
      await using writers = await LiteFsWriters.start();
      await writers.cluster.inStep(MANIFEST);
      return await tryCases(run, async (number) => {
        const error = writeRaw(writers.replica, MODES[number % MODES.length] ?? 'delete');
        if (sqliteCode(error) !== 'SQLITE_READONLY_DIRECTORY' || isDamaged(error))
          throw new Error(String(error));
        await writers.audit();
      });
    },
  },
];

function writeRaw(node: LiteFsNode, mode: (typeof MODES)[number]): unknown {
  const database = openDatabase(node.path(MANIFEST), { journal: 'delete' });
  try {
    database.pragma(`journal_mode = ${mode}`);
    database.prepare('UPDATE namespaces SET next_jid = next_jid').run();
    return new Error('it was written');
  } catch (error) {
    return error;
  } finally {
    database.close();
  }
}
