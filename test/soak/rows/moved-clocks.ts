import { faketimeLibrary, movedClock } from '../../support/moved-clock.ts';
import type { Random } from '../../support/random.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import type { SoakRow } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const HOUR = 3_600;
const DAY = 24 * HOUR;
/** Seconds from the true time: a day and an hour both ways, about 1970, and past 2038. */
const STEPS = [-DAY, -HOUR, HOUR, DAY, -20_000 * DAY, 6_000 * DAY] as const;
const SIZE = 100_000;
/** Seconds that an answer is fresh, and milliseconds after which it is not any more, with what a second is cut by. */
const LIFETIME = 1;
const OVER_MS = 2_100;

/** Clocks that are set while a node runs, or between two runs. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-71',
    title: 'whatever a clock is set to, nothing is served as fresh for longer than it is',
    quick: 7,
    full: 200,
    obstacle: async () =>
      (await faketimeLibrary()) === undefined ? 'libfaketime is not installed' : undefined,
    run: async (run) => {
      await using folder = await tempFolder();
      const clock = await movedClock(folder.path);
      await using site = await SoakSite.start({ seed: run.seed, env: clock.env });
      const lasting = '/lasting';
      const result = await tryCases(run, async (number, random) => {
        if (number % 7 === 6) await restarted(site, clock.move, `${lasting}/${number}`);
        else await stepped(site, clock.move, number, random);
      });
      await clock.move(0);
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
];

type Move = (seconds: number) => Promise<void>;

/** An answer kept before the clock is set is over when its time is, and not before the clock is set back. */
async function stepped(site: SoakSite, move: Move, number: number, random: Random): Promise<void> {
  const seconds = STEPS[number % STEPS.length] ?? 0;
  const key = `/stepped/${number}`;
  site.serve(key, () => ({ headers: [['Cache-Control', `max-age=${LIFETIME}`]], size: SIZE }));
  await site.whole(key, SIZE);
  const hit = site.origin.counts(key).requests;
  await pause(random.integer(0, 200));
  await move(seconds);
  await pause(OVER_MS);
  const { cache } = await site.whole(key, SIZE);
  const { requests } = site.origin.counts(key);
  await move(0);
  if (cache === 'HIT' || requests !== hit + 1)
    throw new Error(`set by ${seconds} s: ${cache}, ${requests - hit} requests`);
}

/** What was kept while the clock was wrong is asked about by a process that starts with the right one. */
async function restarted(site: SoakSite, move: Move, key: string): Promise<void> {
  site.serve(key, () => ({ headers: [['Cache-Control', `max-age=${7 * DAY}`]], size: SIZE }));
  await site.node.stop();
  await move(DAY);
  await site.node.restart();
  await site.whole(key, SIZE);
  await site.recorded(key);
  const before = await site.whole(key, SIZE);
  await site.node.stop();
  await move(0);
  await site.node.restart();
  const after = await site.whole(key, SIZE);
  if (before.cache !== 'HIT' || after.cache === 'HIT')
    throw new Error(`kept a day ahead: ${before.cache}, then ${after.cache}`);
}
