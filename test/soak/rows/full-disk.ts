import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { tempFolder } from '../../support/temp-folder.ts';
import { mountMemory, mountObstacle } from '../mounts.ts';
import type { SoakResult, SoakRow, SoakRun } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { alsoTry, sumOf, tryCases } from '../try-cases.ts';

const OBJECT_BYTES = 1_000_000;
const OBJECTS = 200;
const LANES = 8;
/** What is full, and which part of the data folder lies on it. */
const VOLUMES = [
  { options: 'size=64m', part: 'data/blobs' },
  { options: 'size=1g,nr_inodes=100', part: 'data/blobs' },
  { options: 'size=64m', part: 'data' },
  { options: 'size=1g,nr_inodes=100', part: 'data' },
] as const;

/** Disks without room. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-11',
    title: 'with the disk full, in bytes or in inodes, every client gets a whole right body',
    quick: 2 * OBJECTS,
    full: VOLUMES.length * OBJECTS,
    obstacle: mountObstacle,
    run: async (run) => {
      const results: SoakResult[] = [];
      for (const volume of VOLUMES.slice(0, Math.ceil(run.cases / OBJECTS)))
        results.push(await fillUp(volume, { ...run, cases: OBJECTS }));
      return sumOf(...results);
    },
  },
];

async function fillUp(
  { options, part }: (typeof VOLUMES)[number],
  run: SoakRun,
): Promise<SoakResult> {
  await using folder = await tempFolder();
  const path = join(folder.path, part);
  await mkdir(path, { recursive: true });
  await using _volume = await mountMemory(path, options);
  await using site = await SoakSite.start({ seed: run.seed, folder: folder.path });
  const result = await tryCases({ ...run, lanes: LANES }, async (number) => {
    const key = `/${number}?size=${OBJECT_BYTES}`;
    await site.whole(key, OBJECT_BYTES);
  });
  return await alsoTry(result, run, async () => {
    const { stash_failed_total: failed = 0 } = await failures(site);
    if (failed === 0) throw new Error(`${options} on ${part} was never full`);
    await site.finish();
  });
}

async function failures(site: SoakSite): Promise<Readonly<Record<string, number>>> {
  const counters = (await site.control('counters')) as Readonly<Record<string, number>>;
  const sum = Object.entries(counters)
    .filter(([name]) => name.startsWith('stash_failed_total'))
    .reduce((total, [, count]) => total + count, 0);
  return { stash_failed_total: sum };
}
