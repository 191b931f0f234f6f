import { open } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { SystemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import { type Digest, digestBytes } from '../../src/storage/digest.ts';
import { DiskBackend, type DiskBackendOptions } from '../../src/storage/disk-backend.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** A disk backend and what it works on. */
export interface Disk extends AsyncDisposable {
  readonly folder: string;
  readonly root: string;
  readonly metrics: Metrics;
  backend: DiskBackend;
  database: NodeDatabase;
  close(): Promise<void>;
  /** Opens another on the same data. */
  reopen(changed?: Partial<DiskBackendOptions>): Promise<DiskBackend>;
}

/** A disk backend in a folder of its own; nothing is kept free. */
export async function openDisk(options: Partial<DiskBackendOptions> = {}): Promise<Disk> {
  const folder = await tempFolder();
  const root = join(folder.path, 'blobs');
  const metrics = new Metrics();
  const { clock = new SystemClock() } = options;
  const start = async (
    changed: Partial<DiskBackendOptions> = {},
  ): Promise<{ backend: DiskBackend; database: NodeDatabase }> => {
    const database = await NodeDatabase.open({
      path: join(folder.path, 'node.db'),
      clock,
      log: silentLogger,
    });
    const keepFree = { kind: 'bytes', bytes: 0 } as const;
    const common = { name: 'local', root, database, clock, log: silentLogger, metrics, keepFree };
    return { database, backend: new DiskBackend({ ...common, ...options, ...changed }) };
  };
  const disk: Disk = {
    folder: folder.path,
    root,
    metrics,
    ...(await start()),
    close: async () => {
      await disk.backend[Symbol.asyncDispose]();
      await disk.database[Symbol.asyncDispose]();
    },
    reopen: async (changed) => {
      await disk.close();
      Object.assign(disk, await start(changed));
      return disk.backend;
    },
    [Symbol.asyncDispose]: async () => {
      await disk.close();
      await folder[Symbol.asyncDispose]();
    },
  };
  return disk;
}

/** Where the file of a body lies. */
export function pathOf(disk: Disk, digest: Digest): string {
  return join(disk.root, digest.slice(0, 2), digest);
}

/** Flips one bit of a file. */
export async function flipInFile(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, offset);
  await file.close();
}

/** Flips one bit of a small body. */
export function flipInDatabase(disk: Disk, digest: Digest, offset: number): void {
  const database = new Database(join(disk.folder, 'node.db'));
  const row = database
    .prepare<[Buffer], { id: number; body: Buffer }>(
      'SELECT id, body FROM small_bodies WHERE id = (SELECT place FROM blobs WHERE digest = ?)',
    )
    .get(digestBytes(digest));
  if (row !== undefined) {
    row.body[offset] = (row.body[offset] ?? 0) ^ 1;
    database.prepare('UPDATE small_bodies SET body = ? WHERE id = ?').run(row.body, row.id);
  }
  database.close();
}
