import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { filesBelow } from '../../support/audit-store.ts';
import { readBytes } from '../../support/http-client.ts';
import { Random } from '../../support/random.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const MIB = 1024 ** 2;
const WRITERS = 20;
/** Peak of what lies on the disk, as a share of the quota. */
const PEAK = 1.02;
const SAMPLE_MS = 100;

/** What happens around bodies that are evicted. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-08',
    title: 'killed while it evicts, a node has no row that leads to a half body',
    quick: 6,
    full: 200,
    quickMs: 180_000,
    run: async (run) => {
      await using site = await siteWith(run.seed, 8 * MIB);
      const load = new AbortController();
      const faults: string[] = [];
      const clients = Array.from({ length: 8 }, async (_, client) => {
        const random = new Random(run.seed + client);
        while (!load.signal.aborted) await askOnce(site, random.integer(0, 199), faults);
      });
      const result = await tryCases(run, async (_, random) => {
        await site.counted('evicted_total{local}', random.integer(1, 60));
        await pause(random.integer(0, 60));
        await site.node.kill9();
        await site.audit({ leftovers: true, evicts: true });
        await site.node.restart();
        const found = faults.splice(0);
        if (found.length > 0) throw new Error(found.join('; '));
      });
      load.abort();
      await Promise.all(clients);
      return await alsoTry(result, run, async () => {
        for (let key = 0; key < 200; key++) await site.whole(nameOf(key), sizeOf(key));
        await site.finish({ evicts: true });
        if (faults.length > 0) throw new Error(faults.join('; '));
      });
    },
  },
  {
    id: 'F-19',
    title: 'with 20 parallel writers the disk never holds more than 1.02 times the quota',
    quick: 30,
    full: 600,
    run: async (run) => {
      const quota = 32 * MIB;
      await using site = await siteWith(run.seed, quota);
      const load = new AbortController();
      const faults: string[] = [];
      let next = 0;
      const writers = Array.from({ length: WRITERS }, async () => {
        while (!load.signal.aborted) await askOnce(site, next++, faults);
      });
      await site.counted('evicted_total{local}', 1);
      let peak = 0;
      const result = await tryCases(run, async () => {
        const used = await bytesOnDisk(site.node.dataDir);
        peak = Math.max(peak, used);
        if (used > PEAK * quota) throw new Error(`${used} bytes of ${quota}`);
        await pause(SAMPLE_MS);
      });
      load.abort();
      await Promise.all(writers);
      run.log(`${next} bodies, peak ${Math.round((100 * peak) / quota)} % of the quota`);
      return await alsoTry(result, run, async () => {
        if (faults.length > 0) throw new Error(faults.join('; '));
        if (peak < 0.8 * quota) throw new Error(`the quota was never used: ${peak} bytes`);
        await site.finish({ evicts: true });
      });
    },
  },
  {
    id: 'F-20',
    title: 'a body that is read while others sweep through the store ends whole',
    quick: 10,
    full: 200,
    run: async (run) => {
      const size = 6 * MIB;
      await using site = await siteWith(run.seed, 16 * MIB);
      let next = 0;
      const result = await tryCases(run, async (number, random) => {
        const key = `/read/${number}?size=${size}`;
        const check = site.origin.check(key, { size });
        await kept(site, key, size);
        const { status, headers, body } = await site.client.stream(site.node.url + key);
        if (status !== 200 || headers.get('X-Cache') !== 'HIT')
          throw new Error(`${status} ${headers.get('X-Cache')} where a kept body was to be read`);
        check.write(await readBytes(body, random.integer(1, MIB)));
        const sweep = Array.from({ length: 12 }, async () => {
          const other = `/sweep/${next++}?size=${MIB}`;
          await site.whole(other, MIB);
        });
        await Promise.all(sweep);
        for await (const piece of body) check.write(piece as Buffer);
        check.end();
      });
      return await alsoTry(result, run, async () => {
        const evicted = (await site.node.counters())['evicted_total{local}'] ?? 0;
        if (evicted < 6 * run.cases) throw new Error(`only ${evicted} bodies were evicted`);
        await site.finish({ evicts: true });
      });
    },
  },
];

async function siteWith(seed: number, maxBytes: number): Promise<SoakSite> {
  return await SoakSite.start({
    seed,
    config: {
      storage: { local: { type: 'disk', keepFree: 0, maxBytes } },
      // Bodies come from the disk, whose bytes they are about.
      memory: { bodies: 0 },
    },
  });
}

/** Asks until it is kept: with too many others on their way there may be no room at first. */
async function kept(site: SoakSite, key: string, size: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { cache } = await site.whole(key, size);
    if (cache === 'HIT') return;
    await pause(50);
  }
  throw new Error(`${key} was never kept`);
}

async function askOnce(site: SoakSite, key: number, faults: string[]): Promise<void> {
  try {
    const got = await site.ask(nameOf(key), sizeOf(key));
    if (got.kind === 'refused') faults.push(`${nameOf(key)}: status ${got.status}`);
    if (got.kind === 'broken') await pause(20);
  } catch (error) {
    faults.push(String(error));
    await pause(20);
  }
}

function nameOf(key: number): string {
  return `/evicted/${key}?size=${sizeOf(key)}`;
}

/** Some in the node's database, some of a block, some of several. */
function sizeOf(key: number): number {
  if (key % 10 === 0) return 1_200_000 + (key % 100) * 1000;
  return key % 3 === 0 ? 300_000 + (key % 100) * 1000 : 20_000 + (key % 100) * 200;
}

/** Bytes of bodies kept and on their way: files once each, wherever they are moved meanwhile, and small bodies. */
async function bytesOnDisk(dataDir: string): Promise<number> {
  const sizes = new Map<number, number>();
  for (const folder of ['spool', 'blobs']) {
    for (const path of await filesBelow(join(dataDir, folder))) {
      const stats = await lstat(join(dataDir, folder, path)).catch(() => undefined);
      if (stats) sizes.set(stats.ino, stats.size);
    }
  }
  const database = new Database(join(dataDir, 'node.db'), { readonly: true, timeout: 2000 });
  try {
    const small = database
      .prepare('SELECT coalesce(sum(length(body)), 0) FROM small_bodies')
      .pluck()
      .get() as number;
    return small + [...sizes.values()].reduce((sum, size) => sum + size, 0);
  } finally {
    database.close();
  }
}
