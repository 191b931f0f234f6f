import type { SoakRow } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const HERD = 1_000;
const HERD_BYTES = 50_000;
const SLOW_MS = 5_000;
/** Others that share a fetch with the client that began it. */
const OTHERS = 5;
/** Below and above what is finished for nobody's sake. Bytes. */
const SIZES = [3_000, 300_000, 2_000_000, 14_000_000] as const;
const LANES = 2;

/** Many clients for one key. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-81',
    title: '1,000 clients of one cold key cost one request, whether the origin is fast or slow',
    quick: 1,
    full: 20,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const result = await tryCases(run, async (number) => {
        for (const delay of [0, SLOW_MS]) {
          const key = `/${number}?size=${HERD_BYTES}&delay=${delay}`;
          await Promise.all(
            Array.from({ length: HERD }, async () => await site.whole(key, HERD_BYTES)),
          );
          expectRequests(site, key, 1);
        }
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'F-83',
    title: 'when the client that began a fetch leaves half-way, the others get the whole of it',
    quick: 12,
    full: 100,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const result = await tryCases({ ...run, lanes: LANES }, async (number, random) => {
        const size = random.pick(SIZES);
        const { key, go } = halfServed(site, number, size);
        const leaving = new AbortController();
        const half = Promise.withResolvers<void>();
        const starter = site.ask(key, size, {
          signal: leaving.signal,
          arrived: (bytes) => {
            if (bytes >= size / 2) half.resolve();
          },
        });
        await Promise.race([half.promise, starter]);
        const others = joinHalf(site, key, size);
        await others.joined;
        leaving.abort();
        const left = await starter;
        go();
        if (left.kind !== 'broken') throw new Error('the first client did not leave');
        for (const other of await others.got)
          if (other.kind !== 'whole') throw new Error(`${key}: another got ${other.kind}`);
        expectRequests(site, key, 1);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'F-84',
    title: 'when a shared fetch fails half-way, nobody takes the half for the whole',
    quick: 12,
    full: 1_000,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const result = await tryCases({ ...run, lanes: LANES }, async (number, random) => {
        const size = random.pick(SIZES);
        const how = random.pick(['cut', 'reset'] as const);
        const { key, go } = halfServed(site, number, size, { [how]: Math.ceil(size / 2) });
        const clients = joinHalf(site, key, size, OTHERS + 1);
        await clients.joined;
        go();
        for (const client of await clients.got)
          if (client.kind === 'refused') throw new Error(`${key}: status ${client.status}`);
        expectRequests(site, key, 2);
        await site.whole(key, size);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
];

interface Half {
  readonly key: string;
  /** Lets the other half come, or the fault. */
  go(): void;
}

/** A key whose first answer stops half-way. */
function halfServed(
  site: SoakSite,
  number: number,
  size: number,
  fault: { readonly cut?: number; readonly reset?: number } = {},
): Half {
  const key = `/${number}?size=${size}`;
  const gate = Promise.withResolvers<void>();
  const pause = { at: Math.ceil(size / 2), until: gate.promise };
  site.serve(key, (_, request) => (request === 1 ? { pause, ...fault } : {}));
  return { key, go: gate.resolve };
}

interface Joined {
  /** Resolves when each of them has the first half. */
  readonly joined: Promise<unknown>;
  readonly got: Promise<Awaited<ReturnType<SoakSite['ask']>>[]>;
}

function joinHalf(site: SoakSite, key: string, size: number, clients = OTHERS): Joined {
  const all = Array.from({ length: clients }, () => {
    const half = Promise.withResolvers<void>();
    const got = site.ask(key, size, {
      arrived: (bytes) => {
        if (bytes >= size / 2) half.resolve();
      },
    });
    return { half: Promise.race([half.promise, got]), got };
  });
  return {
    joined: Promise.all(all.map(async ({ half }) => await half)),
    got: Promise.all(all.map(async ({ got }) => await got)),
  };
}

function expectRequests(site: SoakSite, key: string, most: number): void {
  const { requests } = site.origin.counts(key);
  if (requests < 1 || requests > most) throw new Error(`${key}: ${requests} requests`);
}
