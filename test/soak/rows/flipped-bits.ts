import { open } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { digestBytes } from '../../../src/storage/digest.ts';
import type { Random } from '../../support/random.ts';
import type { SoakRow, SoakRun } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

/** Above this many cases bodies are as large as the row may have them. */
const FEW_CASES = 100;
const LARGEST_OF_FEW = 8 * 1024 ** 2;
const LARGEST = 64 * 1024 ** 2;
/** Bodies of so many bytes differ from each other. */
const DISTINCT = 8;
const LANES = 4;

interface Stored {
  readonly key: string;
  readonly size: number;
  readonly digest: string;
}

/** Stored bodies that changed underneath. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-21',
    title: 'a stored body with one bit flipped never ends cleanly, and the next GET is right',
    quick: 100,
    full: 1_000,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const stored = await store(site, run);
      await site.node.stop();
      await tryCases(run, async (number, random) => {
        const body = stored[number];
        if (body !== undefined) await flip(site, body, random);
      });
      await site.node.restart();
      site.origin.resetCounts();
      let broken = 0;
      const result = await tryCases({ ...run, lanes: LANES }, async (number) => {
        const body = stored[number];
        if (body === undefined) throw new Error('it was not stored');
        const { key, size } = body;
        // Every byte of it is checked, also of what ends in an error.
        const first = await site.ask(key, size);
        if (first.kind === 'refused') throw new Error(`${key}: status ${first.status}`);
        if (first.kind === 'broken') broken++;
        if (first.kind === 'whole' && first.cache === 'HIT')
          throw new Error(`${key}: the damage was not noticed`);
        await site.whole(key, size);
      });
      run.log(`${broken} of ${run.cases} were noticed after the first byte was sent`);
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
];

/** Bodies of sizes spread evenly over the powers of two, each with its row. */
async function store(site: SoakSite, run: SoakRun): Promise<readonly (Stored | undefined)[]> {
  const largest = run.cases > FEW_CASES ? LARGEST : LARGEST_OF_FEW;
  const keys = new Map<string, { readonly number: number; readonly size: number }>();
  const filled = await tryCases({ ...run, lanes: LANES }, async (number, random) => {
    // The first two are the smallest and the largest. No two may have the same bytes, and of one byte there are few.
    const exponent = number < 2 ? number : random.fraction();
    const size = Math.max(number === 0 ? 1 : DISTINCT, Math.round(largest ** exponent));
    const key = `/${number}?size=${size}`;
    await site.whole(key, size);
    await site.recorded(key);
    keys.set(key, { number, size });
  });
  if (filled.passed !== run.cases) throw new Error('not every body could be stored');
  const entries = (await site.control('ls')) as readonly { key: string; digest: string }[];
  const stored: Stored[] = [];
  for (const { key: whole, digest } of entries) {
    const key = whole.slice(whole.indexOf('/', 'http://'.length));
    const known = keys.get(key);
    if (known !== undefined) stored[known.number] = { key, size: known.size, digest };
  }
  return stored;
}

async function flip(site: SoakSite, { size, digest }: Stored, random: Random): Promise<void> {
  const offset = random.integer(0, size - 1);
  const bit = 1 << random.integer(0, 7);
  const path = join(site.node.dataDir, 'blobs', digest.slice(0, 2), digest);
  const file = await open(path, 'r+').catch(() => undefined);
  if (file === undefined) {
    flipSmall(join(site.node.dataDir, 'node.db'), digest, offset, bit);
    return;
  }
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    byte.writeUInt8(byte.readUInt8() ^ bit);
    await file.write(byte, 0, 1, offset);
  } finally {
    await file.close();
  }
}

function flipSmall(path: string, digest: string, offset: number, bit: number): void {
  const database = new Database(path);
  try {
    const where = 'id = (SELECT place FROM blobs WHERE digest = ?)';
    const id = digestBytes(digest as Parameters<typeof digestBytes>[0]);
    const body = database
      .prepare<[Buffer], Buffer>(`SELECT body FROM small_bodies WHERE ${where}`)
      .pluck()
      .get(id) as Buffer | undefined;
    if (body === undefined) throw new Error(`there is no body ${digest}`);
    body.writeUInt8(body.readUInt8(offset) ^ bit, offset);
    database.prepare(`UPDATE small_bodies SET body = ? WHERE ${where}`).run(body, id);
  } finally {
    database.close();
  }
}
