import { filesBelow } from '../../support/audit-store.ts';
import { patience } from '../../support/patience.ts';
import { steadyPort } from '../../support/steady-port.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const BODIES = 20;
const SIZE = 100_000;
const KILLED_WITHIN_MS = 100;
/** A short start may take twice as long for no reason of its own. */
const SLACK_MS = 300;

/** Starts that are cut short. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-09',
    title:
      'started and killed within 100 ms again and again, a node starts as fast, and nothing has grown',
    quick: 3,
    full: 100,
    run: async (run) => {
      // A node that was killed before it listened has no port to come back to.
      const listen = { public: `127.0.0.1:${await steadyPort()}` };
      await using site = await SoakSite.start({ seed: run.seed, config: { listen } });
      const { node } = site;
      const keys = Array.from({ length: BODIES }, (_, number) => `/${number}?size=${SIZE}`);
      for (const key of keys) {
        await site.whole(key, SIZE);
        await site.recorded(key);
      }
      await node.kill9();
      const first = await startMs(site);
      await site.tidied();
      await node.kill9();
      const files = (await filesBelow(node.dataDir)).length;
      const result = await tryCases(run, async (number, random) => {
        const ms = random.integer(0, KILLED_WITHIN_MS);
        const started = node.restart();
        started.catch(() => {});
        // As it begins, and as it begins to serve.
        if (number % 2 === 0) while (!node.isRunning) await pause(1);
        else await started;
        await pause(ms);
        await node.kill9();
        await started.catch(() => {});
        await site.audit({ leftovers: true });
      });
      return await alsoTry(result, run, async () => {
        const last = await startMs(site);
        run.log(`first start ${first} ms, last ${last} ms`);
        if (last > 2 * first + SLACK_MS * patience())
          throw new Error(`it starts in ${last} ms, at first in ${first}`);
        for (const key of keys) {
          const { cache } = await site.whole(key, SIZE);
          if (cache !== 'HIT') throw new Error(`${key}: ${cache}`);
        }
        await site.tidied();
        await node.kill9();
        const left = (await filesBelow(node.dataDir)).length;
        if (left > files) throw new Error(`${left} files, at first ${files}`);
        await site.finish();
      });
    },
  },
];

async function startMs(site: SoakSite): Promise<number> {
  const from = performance.now();
  await site.node.restart();
  return Math.round(performance.now() - from);
}
