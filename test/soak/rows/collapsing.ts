import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { Behaviour } from '../../support/oracle-behaviour.ts';
import type { SoakRow } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const BURST = 20;
const HERD = 200;
const KINDS = 8;
const MAX_VARIANTS = 64;
const SIZE = 200;
/** Requests after which memory has settled. */
const MANY = 1_000;
/** Resident memory that many variants may add to a node then. Bytes. */
const GROWTH = 96 * 1024 * 1024;
const HOUR = 'max-age=3600';

/** Answers that are for one client alone. */
const UNSHARED: readonly Behaviour[] = [
  { headers: [['Cache-Control', 'private, max-age=60']] },
  { headers: [['Cache-Control', 'no-store']] },
  { headers: [['Vary', '*']] },
  { status: 403, headers: [['Cache-Control', HOUR]] },
  { status: 401, headers: [['Cache-Control', 'no-store']] },
];

/** Methods that may change things, with what their answers may name. */
const UNSAFE = ['POST', 'PUT', 'DELETE', 'PATCH', 'MKCOL'] as const;
const NAMING = ['Location', 'Content-Location'] as const;

/** Many clients for what cannot be shared, and what a purge or an unsafe request takes. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-85',
    title: 'who waits for what turns out uncacheable goes at once, and the next do not wait',
    quick: 2,
    full: 20,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const result = await tryCases(run, async (number) => {
        const behaviour = UNSHARED[number % UNSHARED.length] ?? {};
        const key = `/${number}?size=${SIZE}`;
        const burst = async (): Promise<void> =>
          void (await Promise.all(
            Array.from({ length: BURST }, async () => await site.ask(key, SIZE)),
          ));
        const first = Promise.withResolvers<void>();
        const rest = Promise.withResolvers<void>();
        let there = 0;
        // All who waited have to be at the origin together: one after the other, none of them would be answered.
        site.serve(key, (_, asked) => {
          if (asked === 1) return { ...behaviour, delay: first.promise };
          there += 1;
          if (there === BURST - 1) rest.resolve();
          return { ...behaviour, delay: rest.promise };
        });
        const waiting = burst();
        await site.origin.asked(1, key);
        first.resolve();
        await waiting;
        const all = Promise.withResolvers<void>();
        let again = 0;
        site.serve(key, () => {
          again += 1;
          if (again === BURST) all.resolve();
          return { ...behaviour, delay: all.promise };
        });
        await burst();
        const { requests, peak } = site.origin.counts(key);
        if (requests !== 2 * BURST || peak !== BURST)
          throw new Error(`${key}: ${requests} requests, ${peak} at a time`);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'F-86-stale',
    title: 'a hot key that goes stale costs one question',
    quick: 1,
    full: 20,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const result = await tryCases(run, async (number) => {
        const key = `/${number}?size=${SIZE}&cc=${HOUR}`;
        await site.whole(key, SIZE);
        await site.recorded(key);
        await site.control('purge', { kind: 'key', value: site.node.url + key, soft: true });
        const asked = Promise.withResolvers<void>();
        site.serve(key, () => ({ delay: asked.promise }));
        const herd = Array.from({ length: HERD }, async () => await site.whole(key, SIZE));
        await site.origin.asked(2, key);
        asked.resolve();
        await Promise.all(herd);
        const { requests } = site.origin.counts(key);
        if (requests !== 2) throw new Error(`${key}: ${requests} requests`);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'H-38',
    title: `a key has at most ${MAX_VARIANTS} variants: the oldest goes, memory stays flat`,
    quick: 80,
    full: 10_000,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const key = `/x?size=${SIZE}&vary=X-Kind&etag=none&cc=${HOUR}`;
      const ask = async (number: number): Promise<string> =>
        (await site.whole(key, SIZE, { headers: { 'X-Kind': String(number) } })).cache;
      let before = 0;
      const result = await tryCases(run, async (number) => {
        if ((await ask(number)) !== 'MISS') throw new Error(`${number} was there`);
        if (number === Math.floor(run.cases / 5)) before = site.node.memory().rss;
      });
      const kept = await tryCases({ ...run, cases: 3 }, async (number) => {
        if (number === 0) {
          const grown = site.node.memory().rss - before;
          run.log(`resident memory grew by ${Math.round(grown / 1024 / 1024)} MiB`);
          // After few requests it grows still, by what a node needs anyway.
          if (grown > GROWTH && run.cases >= MANY)
            throw new Error(`${grown} bytes more than after a fifth`);
        } else {
          const [asked, wanted] = number === 1 ? [run.cases - 1, 'HIT'] : [0, 'MISS'];
          const got = await ask(asked);
          if (got !== wanted) throw new Error(`${asked}: ${got}`);
        }
      });
      const sum = { passed: result.passed + kept.passed, cases: result.cases + kept.cases };
      return await alsoTry(sum, run, async () => {
        await site.finish();
        const database = new Database(join(site.node.dataDir, 'manifest.db'), { readonly: true });
        const rowCount = database.prepare('SELECT count(*) FROM entries').pluck().get();
        database.close();
        if (rowCount !== MAX_VARIANTS) throw new Error(`${String(rowCount)} rows`);
      });
    },
  },
  {
    id: 'H-39',
    title:
      'an unsafe request takes its target and what it names on its origin, and nothing elsewhere',
    quick: 10,
    full: 10,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const result = await tryCases(run, async (number) => {
        const method = UNSAFE[number % UNSAFE.length] ?? 'POST';
        const field = NAMING[number % NAMING.length] ?? 'Location';
        const [target, named, other] = ['target', 'named', 'other'].map(
          (name) => `/${number}/${name}?size=${SIZE}&cc=${HOUR}`,
        ) as [string, string, string];
        const elsewhere = { headers: { host: 'elsewhere.test' } };
        const seen = async (key: string, options = {}): Promise<string> =>
          (await site.whole(key, SIZE, options)).cache;
        for (const key of [target, named, other]) await seen(key);
        await seen(other, elsewhere);
        const change = async (status: number, reference: string): Promise<void> => {
          site.serve(target, ({ method: asked }) =>
            asked === 'GET' ? {} : { status, size: 0, headers: [[field, reference]] },
          );
          const answer = await site.client.stream(site.node.url + target, { method });
          answer.body.resume();
          if (answer.status !== status) throw new Error(`${method}: ${answer.status}`);
        };
        const expect = async (what: string, key: string, wanted: string, options = {}) => {
          const got = await seen(key, options);
          if (got !== wanted) throw new Error(`${method}, ${field}: ${what} is a ${got}`);
        };
        await change(500, named);
        await expect('the target after a 500', target, 'HIT');
        await change(201, `http://elsewhere.test${other}`);
        await expect('the target', target, 'MISS');
        await expect('what it named elsewhere', other, 'HIT', elsewhere);
        await expect('the same path here', other, 'HIT');
        await change(303, number % 2 === 0 ? named : site.node.url + named);
        await expect('what it named', named, 'MISS');
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'H-40',
    title: 'a purge by key takes all of its variants',
    quick: 2 * KINDS,
    full: 50 * KINDS,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const keyOf = (number: number): string =>
        `/${Math.floor(number / KINDS)}?size=${SIZE}&vary=X-Kind&etag=none&cc=${HOUR}`;
      const ask = async (number: number): Promise<string> => {
        const headers = { 'X-Kind': String(number % KINDS) };
        return (await site.whole(keyOf(number), SIZE, { headers })).cache;
      };
      for (let number = 0; number < run.cases; number++) await ask(number);
      for (let number = 0; number < run.cases; number += KINDS) {
        if ((await ask(number)) !== 'HIT') throw new Error(`${keyOf(number)} is not kept`);
        await site.control('purge', { kind: 'key', value: site.node.url + keyOf(number) });
      }
      const result = await tryCases(run, async (number) => {
        const got = await ask(number);
        if (got !== 'MISS') throw new Error(`${keyOf(number)}: ${got}`);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
];
