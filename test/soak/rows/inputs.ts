import { fuzzFraming } from '../../inputs/fuzz-framing.ts';
import { collidingParts } from '../../inputs/key-parts.ts';
import type { SoakRow } from '../soak-row.ts';

/** Inputs by chance: requests, and the parts of keys. */
export const rows: readonly SoakRow[] = [
  {
    id: 'H-15',
    title: 'no request has two readings: what the node takes, four parsers read alike',
    quick: 500,
    full: 100_000,
    run: async ({ cases, seed, log }) => {
      const { runs, taken, bad } = await fuzzFraming(cases, seed);
      log(`${taken} requests were taken from ${runs} messages`);
      if (bad !== undefined) log(bad);
      // Where hardly any is taken, hardly anything is compared.
      const passed = taken < runs / 10 ? 0 : runs;
      return { passed: bad === undefined ? passed : passed - 1, cases };
    },
  },
  {
    id: 'H-37',
    title: 'the parts of keys cannot run together, wherever a separator stands in one',
    quick: 2_000,
    full: 100_000,
    run: async ({ cases, seed, log }) => {
      const bad = collidingParts(cases, seed);
      if (bad !== undefined) log(bad);
      return { passed: bad === undefined ? cases : cases - 1, cases };
    },
  },
];
