import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { BLOCK_SIZE } from '../../../src/body.ts';
import type { Answer } from '../../support/http-client.ts';
import type { Behaviour } from '../../support/oracle-behaviour.ts';
import { oracleBytes } from '../../support/oracle-bytes.ts';
import { etagOf } from '../../support/oracle-send.ts';
import type { Random } from '../../support/random.ts';
import type { SoakRow } from '../soak-row.ts';
import { SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const LANES = 4;
/** Bytes of a body that parts are joined of. */
const SIZE = 3_000;
/** Bytes of a body that grows while its ranges are read. */
const LARGE = 8 * 1024 * 1024;
const HERD = 50;
/** Blocks of a body whose damage is looked for. */
const BLOCKS = 4;

/** What an origin may answer where the missing bytes are asked for; `same` is the one that may be joined. */
const LIES = [
  'same',
  'tag',
  'weak',
  'no tag',
  'range',
  'total',
  'length',
  'no range',
  'cut',
] as const;

/** Ranges: what is joined, what is shared, what is damaged. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-24',
    title: 'a bad block within a range is caught, one outside of it harms nobody',
    quick: 4,
    full: 200,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const size = BLOCKS * BLOCK_SIZE;
      const keys = new Map<number, string>();
      const stored = await tryCases({ ...run, lanes: LANES }, async (number) => {
        const key = `/${number}?ranges&size=${size}`;
        // Every second one is kept as a part, which is the body but for its first byte.
        if (number % 4 < 2) await site.whole(key, size);
        else await expectRange(site, key, size, { start: 1, end: size - 1 });
        await site.recorded(key);
        keys.set(number, key);
      });
      if (stored.passed !== run.cases) throw new Error('not every body could be stored');
      const digests = await digestsOf(site);
      await site.node.stop();
      const bad = await tryCases(run, async (number, random) => {
        const path = digests.get(keys.get(number) ?? '');
        // The first block is looked at whatever is asked for.
        await flip(path ?? '', badBlock(number) * BLOCK_SIZE + random.integer(0, BLOCK_SIZE - 1));
      });
      if (bad.passed !== run.cases) throw new Error('not every body could be damaged');
      await site.node.restart();
      site.origin.resetCounts();
      const result = await tryCases({ ...run, lanes: LANES }, async (number) => {
        const key = keys.get(number) ?? '';
        const block = badBlock(number);
        const inside = { start: block * BLOCK_SIZE, end: (block + 1) * BLOCK_SIZE };
        const outside = { start: (BLOCKS - 1) * BLOCK_SIZE + 10, end: size - 1 };
        if (number % 2 === 0) {
          const cache = await expectRange(site, key, size, outside);
          if (cache !== 'HIT') throw new Error(`${key}: ${cache} for a range without damage`);
          // Read to its end the damage is found, and the next one is right.
          await site.ask(key, size);
          await site.whole(key, size);
          return;
        }
        // It breaks off, or was fetched again; the bytes that come are right in either case.
        const cache = await expectRange(site, key, size, inside).catch((error: unknown) => {
          if (error instanceof WrongRange) throw error;
          return 'broken';
        });
        if (cache === 'HIT') throw new Error(`${key}: the damage was not noticed`);
        await expectRange(site, key, size, inside);
        await site.whole(key, size);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'F-46',
    title: 'a 206 of another tag, range or total is never joined to a part that is kept',
    quick: LIES.length,
    full: 12 * LIES.length,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      const result = await tryCases({ ...run, lanes: LANES }, async (number, random) => {
        const lie = LIES[number % LIES.length] ?? 'same';
        const key = `/${number}?size=${SIZE}`;
        const kept = keptPart(random);
        const isSame = lie === 'same' || lie === 'cut';
        let asked = 0;
        site.serve(key, ({ rawHeaders }, request) => {
          if (request === 1) return { ranges: true };
          const range = rawHeaders[rawHeaders.findIndex((name) => /^range$/i.test(name)) + 1];
          if (!rawHeaders.some((name) => /^range$/i.test(name))) return {};
          asked++;
          return lie === 'same' ? { ranges: true } : answerAs(lie, site, key, range ?? '', random);
        });
        await expectRange(site, key, SIZE, kept);
        await site.recorded(key);
        if (!isSame) site.origin.bumpVersion(key);
        const got = await site.ask(key, SIZE);
        if (asked === 0) throw new Error(`${key}: the part was not used`);
        if (got.kind === 'refused') throw new Error(`${key}: status ${got.status}`);
        if (got.kind === 'broken' && lie !== 'cut') throw got.error;
        if (lie !== 'cut' && site.origin.counts(key).requests !== (isSame ? asked + 1 : 3))
          throw new Error(
            `${key}: ${site.origin.counts(key).requests} requests, ${asked} for parts`,
          );
        site.serve(key, () => ({ ranges: true }));
        const { version } = await site.whole(key, SIZE);
        if (version !== (isSame ? 1 : 2)) throw new Error(`${key}: version ${version}`);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'F-86',
    title: 'different ranges of a cold key cost one fetch of the whole where the rule says so',
    quick: 60,
    full: 1_000,
    run: async (run) => {
      const rules = [{ name: 'site', protocol: 'http', fetch: ['site'], ranges: 'whole' }];
      await using site = await SoakSite.start({ seed: run.seed, config: { rules } });
      const key = `/large?ranges&size=${LARGE}`;
      const grows = Promise.withResolvers<void>();
      site.serve(key, () => ({ pause: { at: LARGE / 2, until: grows.promise } }));
      const first = expectRange(site, key, LARGE, { start: 100, end: 200 });
      // One of the first half is answered while the other half is still to come.
      await first;
      const lanes = run.cases;
      const ranges = tryCases({ ...run, lanes }, async (_, random) => {
        const start = random.integer(0, LARGE - 2);
        const end = Math.min(LARGE - 1, start + random.integer(0, 20_000));
        await expectRange(site, key, LARGE, { start, end });
      });
      // Longer the origin must not stand still.
      await site.counted('fills_joined_total', Math.min(run.cases, HERD));
      grows.resolve();
      const result = await ranges;
      return await alsoTry(result, run, async () => {
        await site.recorded(key);
        const { requests } = site.origin.counts(key);
        if (requests !== 1) throw new Error(`${requests} requests`);
        await site.finish();
      });
    },
  },
  {
    id: 'F-86-expired',
    title: 'a hot key that expires costs one revalidation, however many ask',
    quick: 2,
    full: 20,
    run: async (run) => {
      await using site = await SoakSite.start({ seed: run.seed });
      let joined = 0;
      const result = await tryCases(run, async (number) => {
        // As old as it may get when it comes.
        const key = `/${number}?size=${SIZE}&header=Age:3600`;
        const gate = Promise.withResolvers<void>();
        site.serve(key, (_, request) => (request === 1 ? {} : { delay: gate.promise }));
        await site.whole(key, SIZE);
        await site.recorded(key);
        const herd = Array.from({ length: HERD }, async () => await site.whole(key, SIZE));
        joined += HERD - 1;
        await site.counted('fills_joined_total', joined);
        gate.resolve();
        for (const { cache } of await Promise.all(herd))
          if (cache !== 'REVALIDATED') throw new Error(`${key}: ${cache}`);
        const { requests } = site.origin.counts(key);
        if (requests !== 2) throw new Error(`${key}: ${requests} requests`);
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
];

interface Range {
  readonly start: number;
  readonly end: number;
}

function badBlock(number: number): number {
  return 1 + (number % (BLOCKS - 2));
}

/** A range that came with other bytes than the origin has, or as something else than a 206 for it. */
class WrongRange extends Error {}

/** Asks for a range of the newest version, checks every byte, and gives X-Cache. Rejects when it breaks off. */
async function expectRange(
  site: SoakSite,
  key: string,
  size: number,
  { start, end }: Range,
): Promise<string> {
  const headers = { range: `bytes=${start}-${end}` };
  const answer = await site.client.get(site.node.url + key, { headers });
  expectBytes(answer, bytesOf(site, key, start, end), `bytes ${start}-${end}/${size}`, key);
  return answer.headers.get('X-Cache') ?? '';
}

function expectBytes(
  { status, headers, body }: Answer,
  bytes: Buffer,
  range: string,
  key: string,
): void {
  const said = headers.get('Content-Range');
  if (status !== 206 || said !== range) throw new WrongRange(`${key}: ${status}, ${said}`);
  if (!body.equals(bytes)) throw new WrongRange(`${key}: wrong bytes in ${range}`);
}

function bytesOf({ origin }: SoakSite, key: string, start: number, end: number): Buffer {
  const name = { seed: origin.seed, key, version: origin.version(key) };
  return oracleBytes(name, end + 1).subarray(start);
}

/** At the front, at the end, or between. */
function keptPart(random: Random): Range {
  const start = random.chance(0.4) ? 0 : random.integer(1, SIZE - 200);
  const end = random.chance(0.4) && start > 0 ? SIZE - 1 : random.integer(start, SIZE - 100);
  return { start, end };
}

/** A 206 that must not be joined, with the bytes of another version; or one that breaks off. */
function answerAs(
  lie: Exclude<(typeof LIES)[number], 'same'>,
  site: SoakSite,
  key: string,
  asked: string,
  random: Random,
): Behaviour {
  const [, first = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(asked) ?? [];
  const end = last === '' ? SIZE - 1 : Number(last);
  const start = Number(first) + (lie === 'range' ? 1 - 2 * Number(Number(first) > 0) : 0);
  const body = bytesOf(site, key, start, end);
  const said = lie === 'length' ? end - 1 : end;
  const total = SIZE + (lie === 'total' ? random.integer(1, 100) : 0);
  const tag = etagOf({ seed: 0, key, version: 1 });
  const tags: Partial<Record<string, string | false>> = {
    tag: '"other"',
    weak: `W/${tag}`,
    'no tag': false,
  };
  return {
    status: 206,
    body,
    etag: tags[lie] ?? tag,
    cut: lie === 'cut' ? Math.floor(body.length / 2) : undefined,
    headers: lie === 'no range' ? [] : [['Content-Range', `bytes ${start}-${said}/${total}`]],
  };
}

/** The files of bodies by the path and query of their keys. */
async function digestsOf(site: SoakSite): Promise<ReadonlyMap<string, string>> {
  const entries = (await site.control('ls')) as readonly { key: string; digest: string }[];
  return new Map(
    entries.map(({ key, digest }) => [
      key.slice(key.indexOf('/', 'http://'.length)),
      join(site.node.dataDir, 'blobs', digest.slice(0, 2), digest),
    ]),
  );
}

async function flip(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    byte.writeUInt8(byte.readUInt8() ^ 1);
    await file.write(byte, 0, 1, offset);
  } finally {
    await file.close();
  }
}
