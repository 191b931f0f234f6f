import { BodyCheck } from '../../support/oracle-bytes.ts';
import { OracleProcess } from '../../support/oracle-process.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { tryCases } from '../try-cases.ts';

const MIB = 1024 ** 2;
const BODY = 1024 * MIB;
/** How long the slow client is slow: in the tests, and where there is time. */
const SLOW_SECONDS = { quick: 10, full: 20 } as const;
const GROWTH = 64 * MIB;
const SAMPLE_MS = 50;

/** Memory while a large body passes. */
export const rows: readonly SoakRow[] = [
  {
    id: 'MEMORY',
    title: 'a body of 1 GiB for a slow and a fast client costs at most 64 MiB',
    quick: 1,
    full: 3,
    run: async (run) => {
      await using origin = await OracleProcess.start(run.seed);
      await using site = await SoakSite.start({ seed: run.seed, originUrl: origin.url });
      const slow = run.cases > 1 ? SLOW_SECONDS.full : SLOW_SECONDS.quick;
      return await tryCases(run, async (number) => {
        const small = `/small/${number}?size=1024`;
        await read(site, small, 1024, 0);
        const before = site.node.memory().rss;
        const watch = watchMemory(site);
        const key = `/${number}?size=${BODY}`;
        await Promise.all([read(site, key, BODY, 0), read(site, key, BODY, slow)]);
        const growth = watch.end() - before;
        const told = [growth, before].map((bytes) => `${(bytes / MIB).toFixed(1)} MiB`);
        run.log(`grew by ${told[0]} from ${told[1]}`);
        if (growth > GROWTH) throw new Error(`grew by ${(growth / MIB).toFixed(1)} MiB`);
        const { requests } = await origin.counts(key);
        if (requests !== 1) throw new Error(`${requests} requests to the origin`);
      });
    },
  },
];

/** Reads and checks a body: 1 MiB a second for so many seconds, then as fast as it comes. */
async function read(site: SoakSite, key: string, size: number, slowSeconds: number): Promise<void> {
  const check = new BodyCheck({ seed: site.origin.seed, key, versions: [1], size });
  const from = performance.now();
  const { body } = await site.client.stream(site.node.url + key);
  for await (const piece of body as AsyncIterable<Buffer>) {
    check.write(piece);
    const due = (check.size / MIB) * 1_000;
    const elapsed = performance.now() - from;
    if (elapsed < slowSeconds * 1_000 && elapsed < due) await pause(due - elapsed);
  }
  check.end();
}

/** Looks at the node's memory until it is told to end, which gives the most that was seen. Bytes. */
function watchMemory(site: SoakSite): { end(): number } {
  let most = 0;
  const look = (): void => {
    most = Math.max(most, site.node.memory().rss);
  };
  const timer = setInterval(look, SAMPLE_MS);
  return {
    end: () => {
      clearInterval(timer);
      look();
      return most;
    },
  };
}
