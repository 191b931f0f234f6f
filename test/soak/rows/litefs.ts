import { setTimeout as delay } from 'node:timers/promises';
import { isDamaged, openDatabase, sqliteCode } from '../../../src/sqlite/open-database.ts';
import { auditRows } from '../../support/litefs-audit.ts';
import { halted, type JournalLine } from '../../support/litefs-checks.ts';
import { LiteFsCluster, type LiteFsNode, liteFsObstacle } from '../../support/litefs-cluster.ts';
import { killWriters } from '../../support/litefs-kills.ts';
import { LiteFsWriter, MANIFEST } from '../../support/litefs-writer.ts';
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
const MODES = ['delete', 'truncate', 'persist'] as const;

/** The primary and a replica with a writer on each, and a manifest that both have. */
class Writers implements AsyncDisposable {
  readonly cluster: LiteFsCluster;
  readonly primary: LiteFsWriter;
  readonly #purged = new Map<string, number>();

  private constructor(cluster: LiteFsCluster, primary: LiteFsWriter) {
    this.cluster = cluster;
    this.primary = primary;
  }

  static async start(): Promise<Writers> {
    const cluster = await LiteFsCluster.start({ nodes: 2 });
    const primary = await LiteFsWriter.start({ cluster, node: cluster.primary });
    await primary.put('first');
    return new Writers(cluster, primary);
  }

  get replica(): LiteFsNode {
    return this.cluster.node(1);
  }

  async onReplica(delayMs = 0): Promise<LiteFsWriter> {
    return await LiteFsWriter.start({ cluster: this.cluster, node: this.replica, delayMs });
  }

  /** Purges by a writer what the primary wrote; acknowledged it is once this resolves. */
  async purge(key: string, by: LiteFsWriter): Promise<void> {
    await this.primary.put(key);
    const { jids } = await by.purge(key);
    this.#purged.set(key, jids['web'] ?? 0);
  }

  /** The journal that all nodes have. Throws for anything that does not fit, and for a purge that is lost. */
  async audit(): Promise<readonly JournalLine[]> {
    return await auditRows(this.cluster, this.#purged);
  }

  /** Milliseconds until the primary has written. */
  async written(key: string, limitMs: number): Promise<void> {
    const from = performance.now();
    const { outcome } = await this.primary.put(key);
    const ms = Math.round(performance.now() - from);
    if (outcome !== 'committed') throw new Error(`${key}: ${outcome}`);
    if (ms > limitMs) throw new Error(`written only after ${ms} ms`);
  }

  /** Throws unless each key is in the journal that both nodes have so many times. */
  async count(times: number, ...keys: readonly string[]): Promise<void> {
    const found = (await this.audit()).map(({ key }) => key);
    for (const key of keys) {
      const there = found.filter((other) => other === key).length;
      if (there !== times) throw new Error(`${key} is there ${there} times`);
    }
  }

  /** Starts the replica's LiteFS again. */
  async restart(): Promise<void> {
    if (this.replica.isRunning) this.replica.resume();
    await this.replica.kill9();
    await this.replica.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.primary[Symbol.asyncDispose]();
    await this.cluster[Symbol.asyncDispose]();
  }
}

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
      await using writers = await Writers.start();
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
      await using writers = await Writers.start();
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
      await using writers = await Writers.start();
      const pauseMs = run.cases > LONG_RUN ? LONG_PAUSE_MS : PAUSE_MS;
      return await tryCases(run, async (number) => {
        await using holder = await writers.onReplica(300);
        await writers.purge(`purged-${number}`, holder);
        const put = holder.begin(`late-${number}`);
        await halted(writers.replica);
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
      await using writers = await Writers.start();
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
      await using writers = await Writers.start();
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
      await using writers = await Writers.start();
      await using writer = await writers.onReplica();
      return await tryCases(run, async (number) => {
        await writers.purge(`purged-${number}`, writer);
        // It is acknowledged before HALT is given back, which the primary then waits for.
        await writers.written(`before-${number}`, BACK_MS);
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
      await using writers = await Writers.start();
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
