import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Durability } from '../../../src/storage/durability.ts';
import { UNSYNCED_NOTE } from '../../../src/storage/unsynced-bodies.ts';
import { filesBelow } from '../../support/audit-store.ts';
import type { Random } from '../../support/random.ts';
import type { SoakResult, SoakRow, SoakRun } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { alsoTry, sumOf, tryCases } from '../try-cases.ts';

/** In the node's database, of one block, of several. Bytes. */
const SIZES = [1_000, 60_000, 100_000, 700_000, 2_500_000];

/** What a power cut takes from a disk on which nothing was synced, and what a broken disk takes from one that was. */
export const rows: readonly SoakRow[] = [
  {
    id: 'POWER-CUT',
    title:
      'files that lost bytes, and a database that lost commits: no wrong byte, all fetched again',
    quick: 4,
    full: 100,
    run: async (run) => {
      const half = { ...run, cases: Math.ceil(run.cases / 2) };
      const sides = (['full', 'os'] as const).map(
        async (durability) => await cuts(durability, half),
      );
      return sumOf(...(await Promise.all(sides)));
    },
  },
];

async function cuts(durability: Durability, run: SoakRun): Promise<SoakResult> {
  const storage = { local: { type: 'disk', keepFree: 0, durability } };
  await using site = await SoakSite.start({ seed: run.seed, config: { storage } });
  const result = await tryCases(run, async (_, random) => {
    const keys = SIZES.map((size) => ({ key: `/${size}?size=${size}`, size }));
    for (const { key, size } of keys) {
      await site.whole(key, size);
      await site.recorded(key);
    }
    await site.node.kill9();
    const root = join(site.node.dataDir, 'blobs');
    const files = (await filesBelow(root)).filter((path) => /^[0-9a-f]{2}\//.test(path));
    for (const path of files) await lose(join(root, path), random);
    if (durability === 'os') {
      await writeFile(join(root, UNSYNCED_NOTE), JSON.stringify({ boot: 'the one before' }));
      const log = join(site.node.dataDir, 'node.db-wal');
      const { length } = await readFile(log);
      await truncate(log, random.integer(0, length));
    }
    await site.node.restart();
    for (const { key, size } of keys) {
      const got = await site.ask(key, size);
      // What was not synced is read to its end before a client gets the first byte.
      if (got.kind !== 'whole' && (durability === 'os' || got.kind === 'refused'))
        throw new Error(`${key}: ${got.kind}`);
      await site.whole(key, size);
    }
  });
  return await alsoTry(result, run, async () => {
    await site.finish();
  });
}

async function lose(path: string, random: Random): Promise<void> {
  const { length } = await readFile(path);
  const at = random.integer(0, Math.max(length - 1, 0));
  const kind = random.integer(0, 3);
  if (kind === 0) await rm(path);
  else if (kind === 1) await truncate(path, at);
  else if (kind === 2) {
    await truncate(path, at);
    await truncate(path, length);
  } else {
    const file = await open(path, 'r+');
    await file.write(Buffer.alloc(Math.min(4096, length - at)), 0, undefined, at);
    await file.close();
  }
}
