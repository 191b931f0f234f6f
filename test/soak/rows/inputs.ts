import { fuzzFraming } from '../../inputs/fuzz-framing.ts';
import { collidingParts } from '../../inputs/key-parts.ts';
import { digestNamed, startGoPlace, unchangedVersion } from '../../inputs/name-cases.ts';
import type { SoakRow } from '../soak-row.ts';
import { tryCases } from '../try-cases.ts';

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
  {
    id: 'H-61',
    title: 'every file that is made for a request has a digest as its name, whatever the address',
    quick: 60,
    full: 10_000,
    run: async (run) => {
      await using place = await startGoPlace();
      return await tryCases(
        run,
        async (number, random) => await digestNamed(place, number, random),
      );
    },
  },
  {
    id: 'H-64',
    title: 'a version of a module stays the first one, while its upstream says another each time',
    quick: 20,
    full: 1_000,
    run: async (run) => {
      await using place = await startGoPlace();
      const lanes = { ...run, lanes: 8 };
      return await tryCases(lanes, async (number) => await unchangedVersion(place, number));
    },
  },
];
