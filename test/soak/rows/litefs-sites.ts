import { setTimeout as delay } from 'node:timers/promises';
import { HaltHelper } from '@caje/litefs';
import { auditRows } from '../../support/litefs-audit.ts';
import { halted } from '../../support/litefs-checks.ts';
import { LiteFsCluster, liteFsObstacle } from '../../support/litefs-cluster.ts';
import { LiteFsSites } from '../../support/litefs-sites.ts';
import { LiteFsWriter, MANIFEST } from '../../support/litefs-writer.ts';
import { LOOP_DELAY_ENV, LoopWatch } from '../../support/loop-delay.ts';
import { NEWER_SCHEMA, NEWER_SCHEMA_ENV } from '../../support/newer-version.ts';
import { counterOf } from '../journal-asks.ts';
import type { SoakRow, SoakRun } from '../soak-row.ts';
import { alsoTry, sumOf, tryCases } from '../try-cases.ts';

const obstacle = async (): Promise<string | undefined> => await Promise.resolve(liteFsObstacle());

const HOT = '/hot';
const LANES = 4;
const PATIENCE_MS = 60_000;
/** How long HALT is held, or the primary stands still, in a quick and in a long run. */
const HOLD_MS = 1_000;
const LONG_HOLD_MS = 10_000;
const STOPPED_MS = 12_000;
const LONG_RUN = 100;
/** Rows of one flush, and each way between the nodes, of the table of times (litefs.md 9, test 15). */
const FLUSHES = [1, 10, 100, 500, 1_000];
const WAY_MS = 25;

/** Whole nodes on a real LiteFS while it lets nobody write. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-61-litefs',
    title:
      'while another holds HALT, requests are served, no event loop stands still, and rows wait',
    quick: 40,
    full: 1_000,
    obstacle,
    run: async (run) => {
      // HALT is taken on a mount of its own.
      await using sites = await start(run, 3);
      const outsider = sites.liteFs.node(2);
      await sites.liteFs.inStep(MANIFEST);
      await using helper = new HaltHelper(`${outsider.path(MANIFEST)}-lock`, { mode: 'wait' });
      await outsider.until(async () => (await helper.lock()) === 0, 'HALT');
      const holdMs = run.cases > LONG_RUN ? LONG_HOLD_MS : HOLD_MS;
      using watch = await LoopWatch.start(sites.nodes);
      const asked = await askFor(sites, run, holdMs);
      return await alsoTry(asked, run, async () => {
        const { p99, max } = await watch.expectQuick(holdMs);
        run.log(`event loops: p99 ${Math.round(p99)} ms, most ${Math.round(max)} ms`);
        const errno = await helper.unlock();
        if (errno !== 0) throw new Error(`HALT was not given back: ${errno}`);
        await expectWritten(sites, run.cases);
      });
    },
  },
  {
    id: 'T-18-litefs',
    title:
      'while the primary of LiteFS stands still in a COMMIT, all requests are answered, and it is written afterwards',
    quick: 40,
    full: 400,
    obstacle,
    run: async (run) => {
      await using sites = await start(run, 2, { CAJE_TEST_COMMIT_DELAY_MS: '300' });
      const [first, replica] = [sites.liteFs.primary, sites.liteFs.node(1)];
      await sites.liteFs.inStep(MANIFEST);
      await sites.ask(1, '/stuck');
      await halted(replica);
      first.pause();
      try {
        using watch = await LoopWatch.start(sites.nodes);
        const asked = await askFor(sites, run, STOPPED_MS);
        const result = await alsoTry(asked, run, async () => {
          const { p99, max } = await watch.expectQuick(STOPPED_MS);
          run.log(`event loops: p99 ${Math.round(p99)} ms, most ${Math.round(max)} ms`);
          const counters = await sites.node(1).counters();
          if (counters['halt_stuck_total{commit}'] !== 1)
            throw new Error('the watchdog did not count');
        });
        first.resume();
        return await alsoTry(result, run, async () => {
          await sites.written('/stuck', PATIENCE_MS);
          await expectWritten(sites, run.cases);
        });
      } finally {
        first.resume();
      }
    },
  },
  {
    id: 'T-5-litefs',
    title: 'three nodes write at once: numbers without a gap, and each node has them all',
    quick: 15,
    full: 600,
    obstacle,
    run: async (run) => {
      await using cluster = await LiteFsCluster.start({ nodes: 3 });
      await using stack = new AsyncDisposableStack();
      const writers: LiteFsWriter[] = [];
      for (const node of cluster.nodes)
        writers.push(stack.use(await LiteFsWriter.start({ cluster, node })));
      await writers[0]?.put('first');
      await cluster.inStep(MANIFEST);
      const each = Math.ceil(run.cases / writers.length);
      using keeper = new Keeper(cluster, writers);
      const results = await Promise.all(
        writers.map(
          async (writer, index) =>
            await tryCases({ ...run, cases: each }, async (number) => {
              const { outcome } = await writer.put(`of-${index}-${number}`);
              if (outcome !== 'committed') throw new Error(outcome);
              await delay(100);
            }),
        ),
      );
      const result = sumOf(...results);
      run.log(`LiteFS locked itself up ${keeper.restarts} times, which was found out and healed`);
      return await alsoTry(result, run, async () => {
        const { length } = await auditRows(cluster);
        if (length !== result.cases + 1) throw new Error(`${length} lines in the journal`);
      });
    },
  },
  {
    id: 'F-106-litefs',
    title:
      'nodes of two versions, one migration apart, have one file between them: each goes on, and the older one does not start on it again',
    quick: 40,
    full: 1_000,
    obstacle,
    run: async (run) => {
      await using sites = await start(run, 2);
      const [older, newer] = [sites.node(0), sites.node(1)];
      await newer.stop();
      await newer.restart(NEWER_SCHEMA_ENV);
      await sites.written(HOT);
      const asked = await tryCases({ ...run, lanes: LANES }, async (number) => {
        const path = `/both/${number}`;
        await sites.ask(number % 2, path);
        await sites.written(path, PATIENCE_MS);
        const other = sites.liteFs.node(0);
        // What the other one wrote is read by its row, and its body had from there.
        const isHit = async (): Promise<boolean> =>
          (await sites.ask((number + 1) % 2, path)) === 'HIT';
        await other.until(isHit, `a hit for ${path}`, PATIENCE_MS);
      });
      return await alsoTry(asked, run, async () => {
        // What the other node keeps of a page is still on its way.
        await sites.liteFs.primary.until(
          async () => (await sites.audit('/both/')).size === run.cases,
          'all rows, equal on all nodes',
          PATIENCE_MS,
        );
        for (const node of sites.nodes) {
          const corrupt = await counterOf(node, 'corrupt_rows_total');
          if (corrupt !== 0) throw new Error(`${corrupt} rows did not fit their sum`);
        }
        await older.stop();
        const started = await older.restart().then(
          () => true,
          () => false,
        );
        const said = older.output.join('\n');
        if (started || !said.includes(`version ${NEWER_SCHEMA}`)) throw new Error(said);
      });
    },
  },
  {
    id: 'T-15-litefs',
    title: `flushes of 1 to 1,000 rows over ways of ${WAY_MS} ms each: a table of their times`,
    quick: 5,
    full: 100,
    obstacle,
    run: async (run) => {
      await using cluster = await LiteFsCluster.start({ nodes: 2, relays: true });
      const replica = cluster.node(1);
      await using first = await LiteFsWriter.start({ cluster, node: cluster.primary });
      await first.put('first');
      await cluster.inStep(MANIFEST);
      await using writer = await LiteFsWriter.start({ cluster, node: replica });
      if (replica.relay === undefined) throw new Error('there is no relay');
      replica.relay.fault = { delayMs: WAY_MS };
      const times = new Map<number, number[]>(FLUSHES.map((size) => [size, []]));
      const result = await tryCases(run, async (number) => {
        const size = FLUSHES[number % FLUSHES.length] ?? 1;
        const from = performance.now();
        const puts = Array.from(
          { length: size },
          async (_, at) => await writer.put(`${number}-${at}`),
        );
        const outcomes = await Promise.all(puts);
        times.get(size)?.push(performance.now() - from);
        if (outcomes.some(({ outcome }) => outcome !== 'committed')) throw new Error('not written');
        // Its own pause is no part of what is measured.
        await delay(100);
      });
      for (const [size, all] of times) {
        const ms = all.toSorted((a, b) => a - b);
        const p50 = ms[Math.floor(ms.length / 2)] ?? 0;
        run.log(`${size} rows: p50 ${Math.round(p50)} ms, most ${Math.round(ms.at(-1) ?? 0)} ms`);
      }
      return result;
    },
  },
];

/** What a supervisor does for each node: starts its LiteFS again when the writer there says that it stands still. */
class Keeper implements Disposable {
  restarts = 0;
  readonly #timer: NodeJS.Timeout;
  #isBusy = false;

  constructor(cluster: LiteFsCluster, writers: readonly LiteFsWriter[]) {
    this.#timer = setInterval(() => void this.#look(cluster, writers), 100);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #look(cluster: LiteFsCluster, writers: readonly LiteFsWriter[]): Promise<void> {
    const index = writers.findIndex(({ wedged }) => wedged);
    const writer = writers[index];
    if (this.#isBusy || writer === undefined) return;
    this.#isBusy = true;
    this.restarts++;
    writer.wedged = false;
    await cluster.node(index).kill9();
    await cluster.node(index).start();
    this.#isBusy = false;
  }
}

async function start(
  { seed }: SoakRun,
  mounts: number,
  more: Readonly<Record<string, string>> = {},
): Promise<LiteFsSites> {
  const env = (): Readonly<Record<string, string>> => ({ ...LOOP_DELAY_ENV, ...more });
  const sites = await LiteFsSites.start({ seed, mounts, env });
  await sites.ask(0, HOT);
  await sites.written(HOT);
  for (const index of sites.nodes.keys()) {
    const node = sites.liteFs.node(index);
    // The other node fetches its body once.
    await node.until(async () => (await sites.ask(index, HOT)) === 'HIT', 'a hit', PATIENCE_MS);
  }
  return sites;
}

/** Asks both nodes for what they have and for what they have not, for so long. */
async function askFor(sites: LiteFsSites, run: SoakRun, ms: number): ReturnType<SoakRow['run']> {
  const from = performance.now();
  const asked = await tryCases({ ...run, lanes: LANES }, async (number) => {
    const isHit = number % 4 < 2;
    const path = isHit ? HOT : `/cold/${number}`;
    const cache = await sites.ask(number % 2, path);
    if ((cache === 'HIT') !== isHit) throw new Error(`${path}: ${cache}`);
    await delay((LANES * ms) / run.cases);
  });
  await delay(Math.max(0, ms - (performance.now() - from)));
  return asked;
}

/** Every page that was asked for meanwhile is written. */
async function expectWritten(sites: LiteFsSites, cases: number): Promise<void> {
  const cold = Array.from({ length: cases }, (_, number) => number).filter(
    (number) => number % 4 >= 2,
  );
  for (const number of cold.slice(-LANES)) await sites.written(`/cold/${number}`, PATIENCE_MS);
  await sites.liteFs.primary.until(
    async () => (await sites.audit('/cold/')).size === cold.length,
    'all rows',
    PATIENCE_MS,
  );
}
