import type { Random } from '../../support/random.ts';
import type { SoakRow } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const BLOCK = 1024 ** 2;
const SMALL_BODY = 64 * 1024;
const LANES = 4;

interface Cut {
  readonly size: number;
  readonly at: number;
  readonly how: 'cut' | 'reset';
  readonly chunked: boolean;
}

/** Transfers from the origin that break. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-41',
    title: 'a transfer that the origin breaks off is never kept, and its client sees it break',
    quick: 60,
    full: 300,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const cuts = allCuts();
      const result = await tryCases({ ...run, lanes: LANES }, async (number, random) => {
        const { size, at, how, chunked } = cuts[number] ?? randomCut(random);
        const key = `/${number}?size=${size}${chunked ? '&chunked' : ''}`;
        const what = `${how} at ${at} of ${size}${chunked ? ', chunked' : ''}`;
        site.serve(key, (_, request) => (request === 1 ? { [how]: at } : {}));
        // Throws where a short body ends cleanly; a retry that went well is fine.
        const first = await site.ask(key, size);
        const { requests } = site.origin.counts(key);
        if (first.kind === 'whole' && requests < 2) throw new Error(`${what}: seen as whole`);
        if (requests > 2) throw new Error(`${what}: ${requests} requests`);
        const next = await site.whole(key, size);
        if (first.kind !== 'whole' && next.cache === 'HIT') throw new Error(`${what}: was kept`);
      });
      return await alsoTry(result, run, async () => {
        const { orphans } = await site.finish();
        if (orphans.length > 0) throw new Error(orphans.join(', '));
      });
    },
  },
];

/** At byte 0, 1, around each edge of what is kept apart, and before the last byte. */
function allCuts(): readonly Cut[] {
  const places: readonly (readonly [number, readonly number[]])[] = [
    [1_000, [0, 1, 999]],
    [SMALL_BODY + 1, [SMALL_BODY - 1, SMALL_BODY]],
    [
      3 * BLOCK,
      [0, SMALL_BODY, SMALL_BODY + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1],
    ],
  ];
  return places.flatMap(([size, offsets]) =>
    offsets.flatMap((at) =>
      (['cut', 'reset'] as const).flatMap((how) =>
        [false, true].map((chunked) => ({ size, at, how, chunked })),
      ),
    ),
  );
}

function randomCut(random: Random): Cut {
  const size = random.integer(1, 2 * BLOCK);
  const how = random.pick(['cut', 'reset'] as const);
  return { size, at: random.integer(0, size - 1), how, chunked: random.chance(0.5) };
}
