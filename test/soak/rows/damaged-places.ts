import type { SoakResult, SoakRow, SoakRun } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { flipAt, storedDigests } from '../stored-bodies.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const BLOCK = 1024 ** 2;
/** With 60 first, last and edge bytes between them. */
const SIZES = [1_000, 700_000, BLOCK, BLOCK + 1, 2_500_000, 3 * BLOCK + 1, 4 * BLOCK, 8 * BLOCK];
const PLACES = SIZES.flatMap((size) => placesOf(size).map((offset) => ({ size, offset })));
/** More than the sockets between node and client hold: its last block is read long after the head was sent. */
const LONG = 24 * BLOCK;
const LANES = 4;
const CORRUPT = 'corrupt_blobs_total';

/** A body to be stored, and the byte of it that changes. */
interface Place {
  readonly size: number;
  readonly offset: number;
}

/** Stored bodies that changed at places of their own. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-22',
    title: 'a bit flipped in the first or last byte, or beside an edge of a block, is noticed',
    quick: 12,
    full: PLACES.length,
    run: async (run) => {
      const places = Array.from({ length: run.cases }, (_, number) => placeOf(number, run.cases));
      return await damaged(run, places);
    },
  },
  {
    id: 'F-25',
    title: 'a body that changes after its head was sent is cut before its declared length',
    quick: 1,
    full: 100,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const result = await tryCases(run, async (number, random) => {
        const key = `/${number}?size=${LONG}`;
        await site.whole(key, LONG);
        await site.recorded(key);
        const digest = (await storedDigests(site)).get(key);
        if (digest === undefined) throw new Error(`${key} is not stored`);
        const answer = await site.client.stream(site.node.url + key);
        if (answer.headers.get('X-Cache') !== 'HIT') throw new Error('it was not stored');
        await flipAt(site, digest, LONG - random.integer(1, BLOCK), random.integer(0, 7));
        const check = site.origin.check(key, { size: LONG });
        const cut = await readAll(answer.body as AsyncIterable<Buffer>, (piece) =>
          check.write(piece),
        );
        if (cut === undefined) throw new Error('it ended cleanly');
        if (check.size > LONG - BLOCK) throw new Error(`${check.size} bytes came`);
        await site.whole(key, LONG);
      });
      return await alsoTry(result, run, async () => {
        await counted(site, run.cases);
        await site.finish();
      });
    },
  },
];

/** Stores a body for each place, damages all while the node is down, and asks twice for each. */
async function damaged(run: SoakRun, places: readonly Place[]): Promise<SoakResult> {
  await using site = await SoakSite.start({ seed: run.seed });
  const keyOf = (number: number): string => `/${number}?size=${places[number]?.size}`;
  const stored = await tryCases({ ...run, lanes: LANES }, async (number) => {
    await site.whole(keyOf(number), places[number]?.size ?? 0);
    await site.recorded(keyOf(number));
  });
  if (stored.passed !== run.cases) throw new Error('not every body could be stored');
  const digests = await storedDigests(site);
  await site.node.stop();
  for (const [number, { offset }] of places.entries())
    await flipAt(site, digests.get(keyOf(number)) ?? '', offset, number % 8);
  await site.node.restart();
  const result = await tryCases({ ...run, lanes: LANES }, async (number) => {
    const key = keyOf(number);
    const size = places[number]?.size ?? 0;
    const got = await site.ask(key, size);
    if (got.kind === 'refused') throw new Error(`${key}: status ${got.status}`);
    if (got.kind === 'whole' && got.cache === 'HIT')
      throw new Error(`${key}: the damage was not noticed`);
    await site.whole(key, size);
  });
  return await alsoTry(result, run, async () => {
    await counted(site, run.cases);
    await site.finish();
  });
}

/** What `readAll` met before the end. Absent: the body ended. */
async function readAll(
  body: AsyncIterable<Buffer>,
  take: (piece: Buffer) => void,
): Promise<unknown> {
  const pieces = body[Symbol.asyncIterator]();
  for (;;) {
    const next = await pieces.next().catch((error: unknown) => ({ error }));
    if ('error' in next) return next.error;
    if (next.done === true) return undefined;
    take(next.value);
  }
}

async function counted(site: SoakSite, cases: number): Promise<void> {
  const counters = (await site.control('counters')) as Readonly<Record<string, number>>;
  const found = Object.entries(counters).filter(([name]) => name.startsWith(CORRUPT));
  const sum = found.reduce((total, [, count]) => total + count, 0);
  if (sum !== cases) throw new Error(`${sum} of ${cases} were counted as damaged`);
}

function placeOf(number: number, cases: number): Place {
  const place = PLACES[Math.floor((number * PLACES.length) / cases) % PLACES.length];
  if (place === undefined) throw new Error('no such place');
  return place;
}

function placesOf(size: number): readonly number[] {
  const places = new Set([0, size - 1]);
  for (let edge = BLOCK; edge <= size + 1; edge += BLOCK)
    for (const place of [edge - 1, edge, edge + 1]) if (place < size) places.add(place);
  return [...places].sort((a, b) => a - b);
}
