import type { Random } from '../../support/random.ts';
import type { SoakResult, SoakRow, SoakRun } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const CASES = 100;
const FULL = 2_000;
const LANES = 4;
/** Sizes at which no two bodies look alike, kept in the database and in files. */
const SIZES = [100, 3_000, 100_000, 300_000] as const;
/** Milliseconds within which what began before the purge goes on. */
const RACE_MS = 12;
const HOUR = 'max-age=3600';

/** Purges against what began before them: a purged version is never served after the answer. */
export const rows: readonly SoakRow[] = [
  {
    id: 'PURGE-FILL',
    title: 'a purge wins over a fill that began before it',
    quick: CASES,
    full: FULL,
    run: async (run) =>
      await race(run, {}, async (site, key, size, random) => {
        const gate = Promise.withResolvers<void>();
        const at = random.integer(0, size);
        site.serve(key, (_, number) =>
          number === 1 ? { pause: { at, until: gate.promise } } : {},
        );
        const started = site.whole(key, size);
        await site.origin.asked(1, key);
        return { go: gate.resolve, before: started };
      }),
  },
  {
    id: 'PURGE-PENDING',
    title: 'a purge wins over a row that is not written yet',
    quick: CASES,
    full: FULL,
    run: async (run) =>
      await race(run, { env: { CAJE_TEST_COMMIT_DELAY_MS: '15' } }, async (site, key, size) => {
        await site.whole(key, size);
        return { go: () => {}, before: Promise.resolve() };
      }),
  },
  {
    id: 'PURGE-REVALIDATION',
    title: 'a purge wins over a revalidation that began before it',
    quick: CASES,
    full: FULL,
    run: async (run) =>
      await race(run, {}, async (site, key, size, random) => {
        // The 304 gives an hour: what it brings back would stay.
        const gate = slowSecond(site, key, 'no-cache', random.chance(0.5));
        await site.whole(key, size);
        await site.recorded(key);
        const confirmed = site.whole(key, size);
        await site.origin.asked(2, key);
        return { go: gate, before: confirmed };
      }),
  },
  {
    id: 'PURGE-BEHIND',
    title: 'a purge wins over a refresh that goes on behind a stale answer',
    quick: CASES,
    full: FULL,
    run: async (run) =>
      await race(run, {}, async (site, key, size, random) => {
        const gate = slowSecond(
          site,
          key,
          'max-age=0, stale-while-revalidate=3600',
          random.chance(0.5),
        );
        await site.whole(key, size);
        await site.recorded(key);
        const { cache } = await site.whole(key, size);
        if (cache !== 'STALE') throw new Error(`${key}: ${cache} instead of a stale answer`);
        await site.origin.asked(2, key);
        return { go: gate, before: Promise.resolve() };
      }),
  },
];

interface Begun {
  /** Lets what began before the purge go on. */
  go(): void;
  /** Resolves with what its client got. */
  readonly before: Promise<unknown>;
}

type Begin = (site: SoakSite, key: string, size: number, random: Random) => Promise<Begun>;

/** Begins something with version 1, makes version 2, purges, and asks. */
async function race(
  run: SoakRun,
  options: { readonly env?: Readonly<Record<string, string>> },
  begin: Begin,
): Promise<SoakResult> {
  await using site = await SoakSite.start({ seed: run.seed, ...options });
  const result = await tryCases({ ...run, lanes: LANES }, async (number, random) => {
    const size = random.pick(SIZES);
    const key = `/${number}/page?size=${size}&header=Surrogate-Key:page-${number}`;
    const { go, before } = await begin(site, key, size, random);
    before.catch(() => undefined);
    site.origin.bumpVersion(key);
    const later = (async () => {
      await pause(random.integer(0, RACE_MS));
      go();
    })();
    await site.control('purge', purgeOf(site, number, key, random));
    const expectNew = async (when: string): Promise<void> => {
      const { version, cache } = await site.whole(key, size);
      if (version !== 2) throw new Error(`${key}: version ${version} (${cache}) ${when}`);
    };
    await expectNew('after the purge was answered');
    await later;
    await before;
    await expectNew('once what began before was over');
    await site.recorded(key);
    await expectNew('once it was recorded');
  });
  return await alsoTry(result, run, async () => void (await site.finish()));
}

/** By key, prefix or tag, whichever chance says. */
function purgeOf(site: SoakSite, number: number, key: string, random: Random): object {
  const url = site.node.url;
  return random.pick([
    { kind: 'key', value: url + key, namespace: 'web' },
    { kind: 'prefix', value: `${url}/${number}/` },
    { kind: 'tag', value: `page-${number}` },
  ]);
}

/** The first answer carries these directives, the second waits at the origin, and from it on all may be kept for an hour. */
function slowSecond(site: SoakSite, key: string, first: string, confirms: boolean): () => void {
  const gate = Promise.withResolvers<void>();
  site.serve(key, (_, number) => ({
    headers: [['Cache-Control', number === 1 ? first : HOUR]],
    ...(number === 2 && { delay: gate.promise, etag: confirms ? undefined : false }),
  }));
  return gate.resolve;
}
