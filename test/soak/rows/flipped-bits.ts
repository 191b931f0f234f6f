import type { SoakRow, SoakRun } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { flipAt, storedDigests } from '../stored-bodies.ts';
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
        if (body === undefined) return;
        await flipAt(site, body.digest, random.integer(0, body.size - 1), random.integer(0, 7));
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
  const stored: Stored[] = [];
  for (const [key, digest] of await storedDigests(site)) {
    const known = keys.get(key);
    if (known !== undefined) stored[known.number] = { key, size: known.size, digest };
  }
  return stored;
}
