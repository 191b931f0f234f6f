import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { patience } from '../../support/patience.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { mountMemory, mountObstacle } from '../mounts.ts';
import { isReady, unready } from '../readiness.ts';
import type { SoakRow } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

/** A file of its own in the store. Bytes. */
const SIZE = 100_000;
const LANES = 8;
/** Bodies that are stored before the volume is full. */
const STORED = 20;
/** Room for some hundreds of rows. */
const VOLUME = 'size=4m';
const FILLER = 64 * 1024;
const WRITES_AGAIN_MS = 10_000;
const HEALS_MS = 5_000;

/** A store or manifest that cannot be written, or is not there, for a while. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-12',
    title:
      'with the volume of the manifest full all are served, and rows are written within 10 s of new space',
    quick: 100,
    full: 1_000,
    obstacle: mountObstacle,
    run: async (run) => {
      await using folder = await tempFolder();
      const place = join(folder.path, 'manifest');
      await mkdir(place);
      await using _volume = await mountMemory(place, VOLUME);
      const manifestPath = join(place, 'manifest.db');
      const config = { manifest: { path: manifestPath } };
      await using site = await SoakSite.start({ seed: run.seed, folder: folder.path, config });
      const hit = (number: number): string => `/hit/${number % STORED}?size=${SIZE}`;
      for (let number = 0; number < STORED; number++) {
        await site.whole(hit(number), SIZE);
        await site.recorded(hit(number));
      }
      const filler = join(place, 'filler');
      await fill(filler);
      const result = await tryCases({ ...run, lanes: LANES }, async (number) => {
        if (number % 2 === 1) await site.whole(`/miss/${number}?size=${SIZE}`, SIZE);
        else if ((await site.whole(hit(number), SIZE)).cache !== 'HIT') throw new Error('no hit');
      });
      return await alsoTry(result, run, async () => {
        await unready(site, 'manifest', HEALS_MS);
        await rm(filler);
        const from = performance.now();
        await site.whole(`/after?size=${SIZE}`, SIZE);
        await site.recorded(`/after?size=${SIZE}`);
        const ms = performance.now() - from;
        run.log(`written again after ${Math.round(ms)} ms`);
        if (ms > WRITES_AGAIN_MS * patience()) throw new Error(`written only after ${ms} ms`);
        await isReady(site, HEALS_MS);
        await site.finish({ manifestPath });
      });
    },
  },
  {
    id: 'F-15',
    title:
      'a store that is removed, read-only or a file while the node runs is passed by, named in readyz, and used again',
    quick: 3,
    full: 100,
    obstacle: mountObstacle,
    run: async (run) => {
      await using folder = await tempFolder();
      const root = join(folder.path, 'data', 'blobs');
      await mkdir(root, { recursive: true });
      await using site = await SoakSite.start({ seed: run.seed, folder: folder.path });
      const result = await tryCases(run, async (number) => {
        const [before, during, after] = keysOf(number);
        await stored(site, before);
        const end = await (FAULTS[number % FAULTS.length] ?? removed)(root, site);
        try {
          // A hit that went, one that was never there, and a second client of it.
          await Promise.all([before, during, during].map(async (key) => await ask(site, key)));
          const { status } = await site.client.get(`${site.node.url}/_caje/healthz`);
          if (status !== 200) throw new Error(`healthz ${status}`);
          if (end.isNamed) await unready(site, 'storage local', HEALS_MS);
          await ask(site, `${during}&again`);
        } finally {
          await end.heal();
        }
        await isReady(site, HEALS_MS);
        await stored(site, after);
      });
      return await alsoTry(result, run, async () => {
        // Rows of bodies that were removed underneath heal themselves when they are asked for, and are not in memory.
        await site.node.stop();
        await site.node.restart();
        for (let number = 0; number < run.cases; number++)
          for (const key of [...keysOf(number), `${keysOf(number)[1]}&again`]) await ask(site, key);
        await site.finish();
      });
    },
  },
];

/** Something done to the folder of a store. */
interface Fault {
  /** Whether `readyz` has to say so: a folder that is gone is made anew. */
  readonly isNamed: boolean;
  heal(): Promise<void>;
}

const FAULTS: readonly ((root: string, site: SoakSite) => Promise<Fault>)[] = [
  removed,
  async (root) => {
    // The node may make its folder anew at any moment.
    for (let isThere = false; !isThere; ) {
      await removeAll(root);
      isThere = await writeFile(root, 'no folder', { flag: 'wx' }).then(
        () => true,
        () => false,
      );
    }
    return { isNamed: true, heal: async () => await rm(root) };
  },
  async (root) => {
    const volume = await mountMemory(root, 'size=64m');
    await volume.remount('ro');
    return { isNamed: true, heal: async () => await volume[Symbol.asyncDispose]() };
  },
];

async function removed(root: string): Promise<Fault> {
  await removeAll(root);
  return { isNamed: false, heal: async () => {} };
}

async function removeAll(root: string): Promise<void> {
  await rm(root, { recursive: true, force: true, maxRetries: 10 });
}

function keysOf(number: number): [string, string, string] {
  const key = (part: string): string => `/${number}/${part}?size=${SIZE}`;
  return [key('before'), key('during'), key('after')];
}

async function ask(site: SoakSite, key: string): Promise<void> {
  await site.whole(key, SIZE);
}

/** Resolves once the body is a hit. Throws where it never becomes one. */
async function stored(site: SoakSite, key: string): Promise<void> {
  const end = performance.now() + HEALS_MS * patience();
  while ((await site.whole(key, SIZE)).cache !== 'HIT')
    if (performance.now() > end) throw new Error(`${key} is not stored`);
}

/** Takes all the space that is left. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let size = FILLER; size > 0; size = Math.floor(size / 2))
      for (;;) {
        try {
          const { bytesWritten } = await file.write(Buffer.alloc(size));
          if (bytesWritten < size) break;
        } catch {
          break;
        }
      }
  } finally {
    await file.close();
  }
}
