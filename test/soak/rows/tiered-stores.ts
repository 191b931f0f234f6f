import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { s3Options } from '../../criteria/storages.ts';
import { s3ServerMissing, startS3Server } from '../../support/s3-server.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

/** In the node's database, of one block, of some, and of many. Bytes. */
const SIZES = [900, 120_000, 2_500_000, 9_000_000];
const LANES = 8;
const CATCH_UP_MS = 60_000;
const POLL_MS = 20;
const NEAR = { type: 'disk', path: 'blobs', keepFree: 0 };
const FAR = { type: 'disk', path: 'far', keepFree: 0 };

/** A near store before a far one, when nodes die and stores stay away. */
export const rows: readonly SoakRow[] = [
  {
    id: 'TIER-PUT',
    title: 'killed at any moment of a put into both stores, a node serves whole bodies or none',
    quick: 6,
    full: 300,
    quickMs: 180_000,
    run: async (run) => {
      await using site = await startSite(run.seed, FAR);
      const result = await tryCases(run, async (number, random) => {
        if (!site.node.isRunning) await site.node.restart();
        const size = random.pick(SIZES);
        const key = `/put/${number}?size=${size}`;
        const asked = site.ask(key, size);
        const isWhole = asked.then(() => undefined);
        // Before the last byte, between the two stores, before the row, after it.
        if (random.integer(0, 3) > 0) await isWhole;
        await pause(random.integer(0, 40));
        await site.node.kill9();
        await asked;
        await auditTiers(site, true);
        await site.node.restart();
        await site.whole(key, size);
        await site.whole(key, size);
      });
      return await alsoTry(result, run, async () => await finish(site));
    },
  },
  {
    id: 'TIER-REFILL',
    title:
      'killed at any moment of a copy from the far store, a node asks no origin and copies it anew',
    quick: 6,
    full: 300,
    quickMs: 180_000,
    run: async (run) => {
      await using site = await startSite(run.seed, FAR);
      const result = await tryCases(run, async (number, random) => {
        if (!site.node.isRunning) await site.node.restart();
        const size = random.pick(SIZES);
        const key = `/refill/${number}?size=${size}`;
        await site.whole(key, size);
        await site.recorded(key);
        await emptyNear(site);
        const begun = Promise.withResolvers<void>();
        const asked = site.ask(key, size, { arrived: () => begun.resolve() });
        await Promise.race([begun.promise, asked]);
        await pause(random.integer(0, 30));
        await site.node.kill9();
        await asked;
        await auditTiers(site, true);
        await site.node.restart();
        for (let time = 0; time < 2; time++) {
          const { cache } = await site.whole(key, size);
          if (cache !== 'HIT') throw new Error(`${cache}: the origin was asked`);
        }
        const { requests } = site.origin.counts(key);
        if (requests !== 1) throw new Error(`the origin was asked ${requests} times`);
      });
      return await alsoTry(result, run, async () => await finish(site));
    },
  },
  {
    id: 'TIER-AWAY',
    title:
      'with the far S3 store stopped or dead under load every client is served, and the store catches up',
    quick: 2,
    full: 20,
    quickMs: 180_000,
    obstacle: async () => await Promise.resolve(s3ServerMissing()),
    run: async (run) => {
      await using server = await startS3Server();
      const far = s3Options(server, await server.createBucket());
      await using site = await startSite(run.seed, far);
      const keys = new Map<string, number>();
      const result = await tryCases(run, async (number, random) => {
        const faults: string[] = [];
        const load = new AbortController();
        const lanes = Array.from({ length: LANES }, async (_, lane) => {
          for (let index = 0; !load.signal.aborted; index++) {
            const size = random.pick(SIZES.slice(0, 3));
            const old = random.pick([...keys.keys(), undefined]);
            const key = index % 2 === 0 ? old : undefined;
            const asked = key ?? `/away/${number}/${lane}/${index}?size=${size}`;
            await site.whole(asked, keys.get(asked) ?? size).then(
              () => keys.set(asked, keys.get(asked) ?? size),
              (error: unknown) => faults.push(String(error)),
            );
            await pause(POLL_MS);
          }
        });
        await pause(300);
        const isDead = number % 2 === 1;
        if (isDead) await server.kill();
        else server.pause();
        await pause(run.cases > 2 ? 10_000 : 1_500);
        if (isDead) await server.start();
        else server.resume();
        await pause(300);
        load.abort();
        await Promise.all(lanes);
        if (faults.length > 0) throw new Error(faults.slice(0, 5).join('; '));
        await caughtUp(site);
      });
      return await alsoTry(result, run, async () => {
        // A hit without a near store comes from S3 alone.
        await emptyNear(site);
        for (const [key, size] of keys) {
          await site.whole(key, size);
          const { requests } = site.origin.counts(key);
          if (requests !== 1) throw new Error(`${key}: the origin was asked ${requests} times`);
        }
      });
    },
  },
];

async function startSite(seed: number, far: Readonly<Record<string, unknown>>): Promise<SoakSite> {
  const both = { type: 'tiered', near: 'near', far: 'far' };
  const storage = { near: NEAR, far, both };
  const stashers = { keep: { type: 'store', backend: 'both' } };
  return await SoakSite.start({ seed, config: { memory: { bodies: 0 }, storage, stashers } });
}

async function auditTiers(site: SoakSite, leftovers: boolean): Promise<void> {
  const { dataDir } = site.node;
  const disks = { near: join(dataDir, 'blobs'), far: join(dataDir, 'far') };
  await site.audit({ disks, leftovers });
}

async function finish(site: SoakSite): Promise<void> {
  if (!site.node.isRunning) await site.node.restart();
  await site.tidied();
  await site.node.stop();
  await auditTiers(site, false);
}

/** Takes everything out of the near store behind the node's back. */
async function emptyNear({ node }: SoakSite): Promise<void> {
  await rm(join(node.dataDir, 'blobs'), { recursive: true, force: true });
  const database = new Database(join(node.dataDir, 'node.db'), { timeout: 10_000 });
  database.exec(`
    BEGIN IMMEDIATE;
    DELETE FROM small_bodies WHERE id IN (SELECT place FROM blobs WHERE backend = 'near');
    DELETE FROM blobs WHERE backend = 'near';
    COMMIT;`);
  database.close();
}

/** Resolves once no body waits for the far store. */
async function caughtUp({ node }: SoakSite): Promise<void> {
  const end = performance.now() + CATCH_UP_MS;
  const database = new Database(join(node.dataDir, 'node.db'), { readonly: true, timeout: 10_000 });
  try {
    const count = database.prepare<[], number>("SELECT count(*) FROM blobs WHERE backend = 'both'");
    while ((count.pluck().get() ?? 0) > 0) {
      if (performance.now() > end) throw new Error('the far store never caught up');
      await pause(POLL_MS);
    }
  } finally {
    database.close();
  }
}
