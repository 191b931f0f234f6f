import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processIdentity } from '../../../src/process-identity.ts';
import { patience } from '../../support/patience.ts';
import { Random } from '../../support/random.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const CLIENTS = 50;
const KEYS = 500;
const READY_MS = 5_000;
/** On a machine so busy that an empty node takes long, a full one may take as many times longer. */
const SLOWER = 3;
/** With so many rounds the node has to start over so many objects. */
const MANY_ROUNDS = 200;
const MANY_OBJECTS = 100_000;
/** A client whose connection broke comes back after this long. */
const RETRY_MS = 20;
const TIDY_MS = 60_000;

/** Kills at random moments, and what they leave behind. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-03',
    title: 'killed at any moment under 50 clients, a node comes back whole within 5 s',
    quick: 6,
    full: MANY_ROUNDS,
    quickMs: 180_000,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      if (run.cases >= MANY_ROUNDS) await prefill(site);
      const faults: string[] = [];
      const load = new AbortController();
      const clients = Array.from({ length: CLIENTS }, async (_, client) => {
        const random = new Random(run.seed + client);
        while (!load.signal.aborted) await askOnce(site, random, faults);
      });
      const result = await tryCases(run, async (_, random) => {
        await pause(random.integer(20, 700));
        await site.node.kill9();
        await site.audit({ leftovers: true });
        const from = performance.now();
        await site.node.restart();
        const ms = Math.round(performance.now() - from);
        if (ms > patience() * Math.max(READY_MS, SLOWER * site.startMs))
          throw new Error(`ready only after ${ms} ms, ${site.startMs} ms with an empty folder`);
        const found = faults.splice(0);
        if (found.length > 0) throw new Error(found.join('; '));
      });
      load.abort();
      await Promise.all(clients);
      return await alsoTry(result, run, async () => {
        if (faults.length > 0) throw new Error(faults.join('; '));
        for (let key = 0; key < KEYS; key++) await site.whole(nameOf(key), sizeOf(key));
        await site.finish();
      });
    },
  },
  {
    id: 'F-06',
    title: 'what a dead process left is gone in 60 s, what a live one writes is not touched',
    quick: 4,
    full: 200,
    run: async (run) => {
      await using site = await SoakSite.start({
        seed: run.seed,
        config: { log: { level: 'debug', access: false } },
        // Rows stay behind their bodies long enough for a kill to come between.
        env: { CAJE_TEST_COMMIT_DELAY_MS: '200' },
      });
      return await tryCases(run, async (number, random) => {
        if (!site.node.isRunning) await site.node.restart();
        await leaveBehind(site, number, random);
        const alive = await plantFiles(site, processIdentity());
        await plantFiles(site, processIdentity().replace(/-\d+-/, '-1-'));
        const { orphans, leftovers } = await site.audit({ leftovers: true });
        if (orphans.length === 0 || leftovers.length <= 2 * alive.length)
          throw new Error('the kill left nothing behind');
        const seen = site.node.log.length;
        const from = performance.now();
        await site.node.restart();
        await site.node.logged(
          (line) => line.msg === 'recovery is done' && site.node.log.indexOf(line) >= seen,
        );
        if (performance.now() - from > TIDY_MS) throw new Error('recovery took too long');
        const left = await site.leftovers();
        const touched = alive.filter((path) => !left.includes(path));
        if (touched.length > 0)
          throw new Error(`of a live process: ${touched.join(', ')} are gone`);
        const stayed = left.filter((path) => !alive.includes(path));
        if (stayed.length > 0) throw new Error(`of a dead process: ${stayed.join(', ')} stayed`);
        await Promise.all(alive.map(async (path) => await rm(path)));
        const after = await site.finish();
        if (after.orphans.length > 0) throw new Error(`orphans: ${after.orphans.join(', ')}`);
      });
    },
  },
];

async function askOnce(site: SoakSite, random: Random, faults: string[]): Promise<void> {
  const key = random.integer(0, KEYS - 1);
  try {
    const got = await site.ask(nameOf(key), sizeOf(key));
    if (got.kind === 'refused') faults.push(`${nameOf(key)}: status ${got.status}`);
    // The node is down: asking on would only keep the core busy that it starts on.
    if (got.kind === 'broken') await pause(RETRY_MS);
  } catch (error) {
    faults.push(String(error));
    await pause(RETRY_MS);
  }
}

function nameOf(key: number): string {
  return `/${key}?size=${sizeOf(key)}`;
}

/** From one byte to a few blocks; most are small. */
function sizeOf(key: number): number {
  if (key % 50 === 0) return 2_200_000 + key;
  return key % 5 === 0 ? 70_000 + key * 200 : 1 + key * 37;
}

async function prefill(site: SoakSite): Promise<void> {
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < MANY_OBJECTS) await site.whole(`/object/${next++}?size=100`, 100);
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

/** Kills the node while bodies are on their way, and while rows of others are. */
async function leaveBehind(site: SoakSite, number: number, random: Random): Promise<void> {
  const { node } = site;
  const never = new Promise<void>(() => {});
  const half = Array.from({ length: 3 }, async (_, index) => {
    const size = random.integer(200_000, 3_000_000);
    const key = `/half/${number}/${index}?size=${size}`;
    site.serve(key, () => ({ pause: { at: size - 10, until: never } }));
    const spooled = Promise.withResolvers<void>();
    const asked = site.ask(key, size, {
      arrived: (bytes) => {
        if (bytes >= size - 10) spooled.resolve();
      },
    });
    await Promise.race([spooled.promise, asked]);
    return async () => await asked;
  });
  const asked = await Promise.all(half);
  const whole = Array.from({ length: 4 }, async (_, index) => {
    const size = random.pick([500, 80_000, 1_500_000]);
    await site.whole(`/whole/${number}/${index}?size=${size}`, size);
  });
  await Promise.all(whole);
  // Their bodies are kept now, and their rows wait.
  await site.counted('stashed_total', whole.length);
  await node.kill9();
  await Promise.all(asked.map(async (done) => await done()));
}

/** A spool and a temporary file as the process of that name would make them. Gives their paths. */
async function plantFiles(site: SoakSite, identity: string): Promise<string[]> {
  const spool = join(site.node.dataDir, 'spool', identity);
  const temp = join(site.node.dataDir, 'blobs', 'tmp');
  await mkdir(spool, { recursive: true });
  await mkdir(temp, { recursive: true });
  const paths = [join(spool, '0'), join(temp, `${identity}.${randomUUID()}`)];
  await Promise.all(paths.map(async (path) => await writeFile(path, 'on its way')));
  return paths;
}
