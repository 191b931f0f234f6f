import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '../../../src/clock.ts';
import { PEER_FIELDS, PEER_RESOURCE_PATH } from '../../../src/fetchers/peer-protocol.ts';
import { silentLogger } from '../../../src/log.ts';
import { Metrics } from '../../../src/metrics.ts';
import { Scrubber } from '../../../src/scrubber.ts';
import type { Digest } from '../../../src/storage/digest.ts';
import { DiskBackend } from '../../../src/storage/disk-backend.ts';
import { NodeDatabase } from '../../../src/storage/node-database.ts';
import { peerConfig } from '../../criteria/peer-config.ts';
import { incomingOf } from '../../support/incoming.ts';
import { openIn } from '../../support/manifest-fixtures.ts';
import { patience } from '../../support/patience.ts';
import { Random } from '../../support/random.ts';
import { seededBytes } from '../../support/seeded-bytes.ts';
import { tempFolder } from '../../support/temp-folder.ts';
import { flipBit } from '../../support/upkeep-place.ts';
import type { SoakRow, SoakRun } from '../soak-row.ts';
import { pause, SoakSite } from '../soak-site.ts';
import { alsoTry, tryCases } from '../try-cases.ts';

const READERS = 5;
/** Longest time from the moment that damage is met until it lies in quarantine. */
const QUARANTINE_MS = 1_000;
const SIZE = 300_000;
const MIB = 1024 * 1024;
const BAD = 20;
/** Bytes a second that the scrubber may read. */
const RATE = 16 * MIB;
const LANES = 16;
const LARGEST = 120_000;
const SMALLEST = 66_000;

/** What is damaged is found, put aside, told once, and given to nobody. */
export const rows: readonly SoakRow[] = [
  {
    id: 'F-26',
    title:
      'damage that several meet at once is quarantined within a second, told once, and given to no peer',
    quick: 10,
    full: 100,
    run: async (run) => {
      await using peers = await peerConfig();
      const config = { ...peers.listening, memory: { bodies: 0 }, scrub: { period: 0 } };
      const token = peers.asking('')['token'] as string;
      await using site = await SoakSite.start({ seed: run.seed, config });
      const result = await tryCases(run, async (number, random) => {
        await meetDamage(site, `/${number}?size=${SIZE}`, token, random.integer(0, SIZE - 1));
      });
      return await alsoTry(result, run, async () => void (await site.finish()));
    },
  },
  {
    id: 'F-27',
    title: 'the scrubber finds all 20 bad bodies, accuses no other, and reads within its rate',
    quick: 300,
    full: 10_000,
    run: scrubAll,
  },
];

async function meetDamage(
  site: SoakSite,
  key: string,
  token: string,
  offset: number,
): Promise<void> {
  await site.whole(key, SIZE);
  await site.recorded(key);
  const { node } = site;
  const rows = (await site.control('ls')) as readonly { key: string; digest: string }[];
  const digest = rows.find((row) => row.key.endsWith(key))?.digest ?? '';
  await flipBit(join(node.dataDir, 'blobs', digest.slice(0, 2), digest), offset);
  const askPeer = async (): Promise<void> => {
    const headers = { authorization: `Bearer ${token}`, [PEER_FIELDS.target]: node.url + key };
    const url = node.peerUrl + PEER_RESOURCE_PATH;
    const { status, error, body } = await site.client.getCut(url, { headers });
    if (status === 504 || error !== undefined) return;
    // By then it may be there again; every byte of it is right.
    const check = site.origin.check(key, { size: SIZE });
    check.write(body);
    check.end();
  };
  const asks = [
    ...Array.from({ length: READERS }, async () => void (await site.ask(key, SIZE))),
    askPeer(),
  ];
  await Promise.race(asks);
  const end = performance.now() + QUARANTINE_MS * patience();
  while (!(await isAside(node.dataDir, digest))) {
    if (performance.now() > end) throw new Error(`${key}: not in quarantine after a second`);
    await pause(5);
  }
  await Promise.all(asks);
  await site.whole(key, SIZE);
  const alarms = node.log.filter(
    (line) => line['digest'] === digest && line.msg.includes('unusable'),
  );
  if (alarms.length !== 1) throw new Error(`${key}: ${alarms.length} alarms`);
}

async function isAside(dataDir: string, digest: string): Promise<boolean> {
  const path = join(dataDir, 'blobs', 'quarantine', digest);
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

interface Stored {
  readonly digest: Digest;
  readonly size: number;
}

async function scrubAll(run: SoakRun): ReturnType<SoakRow['run']> {
  await using folder = await tempFolder();
  const root = join(folder.path, 'blobs');
  const clock = new SystemClock();
  const metrics = new Metrics();
  const log = silentLogger;
  await using database = await NodeDatabase.open({
    path: join(folder.path, 'node.db'),
    clock,
    log,
  });
  await using manifest = await openIn(folder.path, { metrics });
  const keepFree = { kind: 'bytes', bytes: 0 } as const;
  await using backend = new DiskBackend({
    ...{ name: 'local', root, database, clock, log, metrics, keepFree },
  });
  const stored: Stored[] = [];
  const filled = await tryCases({ ...run, lanes: LANES }, async (number, random) => {
    // One in four lies in the database.
    const size = number % 4 === 0 ? random.integer(16, 2000) : random.integer(SMALLEST, LARGEST);
    const bytes = seededBytes(size, `${run.seed}-${number}`);
    const { digest } = await backend.put(incomingOf(bytes));
    stored[number] = { digest, size };
  });
  if (filled.passed !== run.cases) throw new Error('not every body could be stored');
  const random = new Random(run.seed);
  const bad = new Set<Digest>();
  while (bad.size < BAD) {
    const { digest, size } = stored[random.integer(0, run.cases - 1)] ?? { size: 0 };
    if (digest === undefined || size < SMALLEST || bad.has(digest)) continue;
    bad.add(digest);
    const path = join(root, digest.slice(0, 2), digest);
    await flipBit(path, random.integer(0, size - 1));
  }
  const accused = new Set<Digest>();
  const scrubber = new Scrubber({
    ...{ manifest, clock, log, metrics },
    config: { scrub: { periodMs: 1, rate: RATE } },
    backends: [['local', backend]],
    cursorPath: join(folder.path, 'scrub.json'),
    repair: async function* (digests) {
      for (const digest of digests) {
        accused.add(digest);
        yield { digest, repair: 'missing' };
      }
    },
    isBusy: () => false,
  });
  const from = performance.now();
  // Upkeep keeps no process alive.
  const alive = setInterval(() => undefined, 1_000);
  await scrubber.pass(new AbortController().signal);
  clearInterval(alive);
  const seconds = (performance.now() - from) / 1000;
  const bytes = stored.reduce((sum, { size }) => sum + size, 0);
  run.log(`${Math.round(bytes / MIB)} MiB in ${seconds.toFixed(1)} s`);
  const result = await tryCases(run, async (number) => {
    const { digest } = stored[number] ?? {};
    if (digest === undefined) throw new Error('it was not stored');
    if (accused.has(digest) !== bad.has(digest))
      throw new Error(`${digest}: ${bad.has(digest) ? 'not found' : 'wrongly accused'}`);
    const isKept = (await backend.stat(digest)) !== undefined;
    if (isKept === bad.has(digest))
      throw new Error(`${digest}: ${isKept ? 'still there' : 'gone'}`);
  });
  return await alsoTry(result, run, async () => {
    if (bytes / seconds > RATE) throw new Error('it read faster than it may');
    const read = metrics.value('scrubbed_total');
    if (read !== run.cases) throw new Error(`${read} bodies were read`);
  });
}
