import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger } from '../../src/log.ts';
import type { SqliteManifest } from '../../src/manifest/sqlite-manifest.ts';
import { Metrics } from '../../src/metrics.ts';
import { SpoolFolder } from '../../src/stashers/spool-folder.ts';
import type { Stat } from '../../src/storage/backend.ts';
import type { Digest } from '../../src/storage/digest.ts';
import { DiskBackend } from '../../src/storage/disk-backend.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { FakeClock } from './fake-clock.ts';
import { incomingOf } from './incoming.ts';
import { openIn, put } from './manifest-fixtures.ts';
import { seededBytes } from './seeded-bytes.ts';
import { tempFolder } from './temp-folder.ts';

/** A disk, a manifest and a spool in a folder, without a node around them. */
export interface UpkeepPlace extends AsyncDisposable {
  readonly folder: string;
  readonly clock: FakeClock;
  readonly metrics: Metrics;
  readonly backend: DiskBackend;
  readonly manifest: SqliteManifest;
  readonly spool: SpoolFolder;
  /** Stores a body, other ones by other seeds. */
  body(size: number, seed: string): Promise<Stat>;
  /** Stores a body and an entry that names it. */
  entry(key: string, size: number): Promise<Stat>;
  /** Where a body of more than 64 KiB lies. */
  fileOf(digest: string): string;
}

export async function upkeepPlace(): Promise<UpkeepPlace> {
  const temp = await tempFolder();
  const folder = temp.path;
  const clock = new FakeClock();
  const metrics = new Metrics();
  const log = silentLogger;
  const database = await NodeDatabase.open({ path: join(folder, 'node.db'), clock, log });
  const manifest = await openIn(folder, { clock, metrics });
  const root = join(folder, 'blobs');
  const keepFree = { kind: 'bytes', bytes: 0 } as const;
  const backend = new DiskBackend({ name: 'local', root, database, clock, log, metrics, keepFree });
  const body = async (size: number, seed: string): Promise<Stat> =>
    await backend.put(incomingOf(seededBytes(size, seed)));
  return {
    ...{ folder, clock, metrics, backend, manifest, body },
    spool: new SpoolFolder(join(folder, 'spool'), 1024 ** 3),
    entry: async (key, size) => {
      const stat = await body(size, key);
      await manifest.commit([put(key, 0, { digest: stat.digest, size: stat.size })]);
      return stat;
    },
    fileOf: (digest) => join(root, digest.slice(0, 2), digest),
    [Symbol.asyncDispose]: async () => {
      await manifest[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      await temp[Symbol.asyncDispose]();
    },
  };
}

/** Flips one bit of a file. */
export async function flipBit(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  await writeFile(path, bytes);
}

/** Digests in order. */
export function sorted(...stats: readonly Pick<Stat, 'digest'>[]): Digest[] {
  return stats.map(({ digest }) => digest).sort();
}
