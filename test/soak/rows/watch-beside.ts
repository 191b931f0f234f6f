import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expectSound } from '../../support/auditor.ts';
import { journalSites, SHARED } from '../../support/journal-sites.ts';
import { startWatch, type Watch } from '../../support/populate-watch.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause } from '../soak-site.ts';
import { tryCases } from '../try-cases.ts';

/** A temporary file begins with the process that made it: pid, start, boot. */
const OWNER = /^(\d+)-\d+-[0-9a-f]+\./;

/** Two processes on one data folder. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-65',
    title:
      'a node and its populate --watch on one folder, killed at random: all whole, one owner per temporary file',
    quick: 3,
    full: 100,
    run: async (run) => {
      await using sites = await journalSites();
      const { first, second } = sites;
      const { node } = second;
      let watch: Watch = startWatch(node);
      const pids = new Set([node.pid, watch.process.pid]);
      try {
        return await tryCases(run, async (number, random) => {
          const asked = Array.from({ length: 8 }, async (_, index) => {
            const path = `/${number}/${index}?size=${random.integer(1, 900_000)}`;
            await first.getAs(SHARED, path);
            // The node and the watch then want the same body.
            if (index % 2 === 0) await second.getAs(SHARED, path);
          });
          // Those that the kills break off fail long before they are looked at.
          const settled = Promise.allSettled(asked);
          await pause(random.integer(50, 1500));
          const ends = [() => node.kill9(), () => watch.end('SIGKILL')];
          if (random.integer(0, 1) === 0) ends.reverse();
          await ends[0]?.();
          await pause(random.integer(0, 300));
          await ends[1]?.();
          await settled;
          try {
            await ownersAmong(pids, join(node.dataDir, 'blobs', 'tmp'));
            // A body may lie with the other node alone.
            await expectSound({ dataDir: node.dataDir, leftovers: true, evicts: true });
          } finally {
            await node.restart();
            watch = startWatch(node);
            pids.add(node.pid).add(watch.process.pid);
          }
          const path = `/${number}/after?size=5000`;
          const { status, body } = await second.getAs(SHARED, path);
          if (status !== 200 || !body.equals(first.bytes(path, 5000)))
            throw new Error(`after the kills: status ${status}`);
        });
      } finally {
        await watch.end('SIGKILL');
      }
    },
  },
];

async function ownersAmong(pids: ReadonlySet<number | undefined>, folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const strange = names.filter((name) => !pids.has(Number(OWNER.exec(name)?.[1])));
  if (strange.length > 0) throw new Error(`of neither process: ${strange.join(', ')}`);
}
