import { copyFile, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '../../support/random.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

/** In the node's database, of one block, of several. Bytes. */
const SIZES = [1_000, 20_000, 100_000, 1_500_000];
const KEYS = 12;
const PAGE = 4096;
const HEADER = 100;
/** Damaged pages, and bytes of each that change. */
const PAGES = 3;
const BYTES = 64;
const DATABASES = ['manifest.db', 'node.db'] as const;
/** A case that goes on for longer is a node that starts and ends for ever. */
const STARTS = 2;
const TURNS = 10;
const TURN_MS = 50;

/** What happens to a database while the node is down. */
interface Damage {
  readonly name: string;
  /** True: it needs the log that a killed node leaves. */
  readonly isOfLog?: boolean;
  readonly do: (path: string, other: string, random: Random) => Promise<void>;
}

const DAMAGES: readonly Damage[] = [
  { name: 'flipped pages', do: flipPages },
  {
    name: 'cut',
    do: async (path, _, random) =>
      await truncate(path, random.integer(1, (await stat(path)).size - 1)),
  },
  {
    name: 'its header zeroed',
    do: async (path) => await overwrite(path, 0, Buffer.alloc(HEADER)),
  },
  {
    name: 'its log lost',
    isOfLog: true,
    do: async (path) => await rm(`${path}-wal`, { force: true }),
  },
  {
    name: 'with the log of another database',
    isOfLog: true,
    do: async (path, other) => await copyFile(`${other}-wal`, `${path}-wal`),
  },
  {
    name: 'no database',
    do: async (path, _, random) => await writeFile(path, random.bytes(3 * PAGE)),
  },
  { name: 'empty', do: async (path) => await truncate(path, 0) },
];

/** Databases that are not what they were. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-62',
    title:
      'a node with a damaged database starts with a new one, or says why not; it serves no wrong byte',
    quick: 8,
    full: 200,
    quickMs: 180_000,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const { node } = site;
      const seen = { aside: 0, refused: 0 };
      const result = await tryCases(run, async (number, random) => {
        const damage = DAMAGES[number % DAMAGES.length];
        const [name = '', other = ''] = number % 2 === 0 ? DATABASES : [...DATABASES].reverse();
        if (damage === undefined) throw new Error('no such damage');
        try {
          for (const { key, size } of keys()) await site.whole(key, size);
          // What is asked for last is in the log alone.
          await keep(site, `/last/${number}?size=1000`);
          await (damage.isOfLog === true ? node.kill9() : node.stop());
          await damage.do(join(node.dataDir, name), join(node.dataDir, other), random);
          const logged = node.log.length;
          await restart(site, seen);
          for (const { key, size } of keys()) {
            const got = await site.ask(key, size);
            if (got.kind === 'refused') throw new Error(`${key}: status ${got.status}`);
            await site.whole(key, size);
          }
          if (node.log.slice(logged).some(({ msg }) => /put aside|damaged/.test(msg))) seen.aside++;
        } catch (error) {
          throw new Error(`${name}, ${damage.name}: ${String(error)}`, { cause: error });
        }
      });
      run.log(`${seen.aside} databases were put aside, ${seen.refused} starts refused`);
      return await alsoTry(result, run, async () => {
        if (seen.aside * 4 < run.cases) throw new Error('the damage was hardly met');
        await node.stop();
        await node.restart();
        for (const { key, size } of keys()) await site.whole(key, size);
        // A row whose body went with the node's database is a miss once it is asked for.
        await site.finish({ evicts: true });
      });
    },
  },
];

/** Asks until the body is kept, or for a moment: a database that was found damaged in use takes nothing until the next start. */
async function keep(site: SoakSite, key: string): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) {
    if ((await site.whole(key, 1000)).cache === 'HIT') return;
    await pause(TURN_MS);
  }
}

/** Starts the node; where it says why it does not, an operator removes what it names. */
async function restart({ node }: SoakSite, seen: { refused: number }): Promise<void> {
  for (let start = 0; ; start++) {
    try {
      await node.restart();
      return;
    } catch (error) {
      seen.refused++;
      const named = DATABASES.find((name) => node.lastWords().includes(name));
      if (named === undefined || start === STARTS) throw error;
      for (const suffix of ['', '-wal', '-shm'])
        await rm(join(node.dataDir, named + suffix), { force: true });
    }
  }
}

function keys(): readonly { readonly key: string; readonly size: number }[] {
  return Array.from({ length: KEYS }, (_, number) => {
    const size = SIZES[number % SIZES.length] ?? 0;
    return { key: `/${number}?size=${size}`, size };
  });
}

async function flipPages(path: string, _: string, random: Random): Promise<void> {
  const { length } = await readFile(path);
  for (let page = 0; page < PAGES; page++) {
    const at = random.integer(0, Math.floor(length / PAGE) - 1) * PAGE;
    await overwrite(path, at + random.integer(0, PAGE - BYTES), random.bytes(BYTES));
  }
}

async function overwrite(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(bytes, 0, bytes.length, at);
  } finally {
    await file.close();
  }
}
