import { existsSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import Database from 'better-sqlite3';
import type { SqliteDatabase } from '../../src/sqlite/open-database.ts';
import type { Backend } from '../../src/storage/backend.ts';
import { auditManifest, type NamedBody } from './audit-manifest.ts';
import {
  auditBackend,
  auditDisk,
  auditSmallBodies,
  blobFiles,
  type FoundBodies,
  filesBelow,
} from './audit-store.ts';
import { type TempFolder, tempFolder } from './temp-folder.ts';

/** What is audited. */
export interface AuditOptions {
  /** Data folder of a node that does not run. */
  readonly dataDir: string;
  /** Absent: `manifest.db` in the data folder. */
  readonly manifestPath?: string | undefined;
  /** Folders of disk backends by name. Absent: `local` in `blobs`, as in the built-in configuration. */
  readonly disks?: Readonly<Record<string, string>> | undefined;
  /** Other backends that hold bodies, such as S3. Absent: none. */
  readonly backends?: readonly Backend[] | undefined;
  /** True: temporary files are no problem, as right after a crash, before the next start removes them. */
  readonly leftovers?: boolean | undefined;
  /** True: an entry whose body is gone is no problem, since the node evicts. */
  readonly evicts?: boolean | undefined;
}

/** What an audit found. */
export interface Audit {
  /** One sentence each; empty: everything fits. */
  readonly problems: readonly string[];
  /** Live rows of the manifest. */
  readonly entries: number;
  /** Bodies that no live row names, and files that no blob row names: they may stay for a grace time. */
  readonly orphans: readonly string[];
  /** Temporary files; they are problems too unless `leftovers` is set. */
  readonly leftovers: readonly string[];
}

/**
 * Checks a data folder as a whole: both databases are sound, each row is as it was written and has its body, the journal
 * has no gap, nothing half-written lies about. Works on copies of the databases and changes nothing.
 */
export async function audit(options: AuditOptions): Promise<Audit> {
  const { dataDir, disks = { local: join(dataDir, 'blobs') } } = options;
  const problems: string[] = [];
  const orphans: string[] = [];
  await using copies = await tempFolder();
  const bodies: FoundBodies = new Map();

  const node = await openCopy(join(dataDir, 'node.db'), copies, problems);
  for (const [name, folder] of Object.entries(disks)) {
    const found: FoundBodies = node
      ? await auditDisk(node, name, folder, problems)
      : new Map<string, number>();
    for (const digest of await blobFiles(folder, problems)) {
      if (!found.has(digest)) orphans.push(`${name} ${digest}: a file without a blob row`);
    }
    for (const [digest, size] of found) bodies.set(digest, size);
  }
  if (node) auditSmallBodies(node, problems);
  node?.close();
  for (const backend of options.backends ?? []) {
    for (const [digest, size] of await auditBackend(backend, problems)) bodies.set(digest, size);
  }

  const manifestPath = options.manifestPath ?? join(dataDir, 'manifest.db');
  const manifest = await openCopy(manifestPath, copies, problems);
  const named = manifest ? auditManifest(manifest, problems) : [];
  manifest?.close();
  problems.push(...missingBodies(named, bodies, options.evicts === true));
  const wanted = new Set(named.map(({ digest }) => digest));
  for (const digest of bodies.keys()) {
    if (!wanted.has(digest)) orphans.push(`${digest}: a body that no entry names`);
  }

  const leftovers = await temporaryFiles(dataDir, Object.values(disks));
  if (options.leftovers !== true) problems.push(...leftovers.map((path) => `${path} was left`));
  return { problems, entries: named.length, orphans, leftovers };
}

/** Audits and throws, with every problem, where something does not fit. */
export async function expectSound(options: AuditOptions): Promise<Audit> {
  const result = await audit(options);
  if (result.problems.length > 0) throw new Error(`audit:\n${result.problems.join('\n')}`);
  return result;
}

function missingBodies(
  named: readonly NamedBody[],
  bodies: FoundBodies,
  evicts: boolean,
): string[] {
  return named.flatMap(({ key, digest, size }) => {
    const found = bodies.get(digest);
    if (found === size || (evicts && found === undefined)) return [];
    const what = found === undefined ? 'has no whole body' : `says ${size} bytes, has ${found}`;
    return [`entry ${key}: ${what} ${digest}`];
  });
}

async function temporaryFiles(dataDir: string, folders: readonly string[]): Promise<string[]> {
  const places = [join(dataDir, 'spool'), ...folders.map((folder) => join(folder, 'tmp'))];
  const lists = places.map(async (place) =>
    (await filesBelow(place)).map((path) => join(place, path)),
  );
  return (await Promise.all(lists)).flat();
}

/** Opens a copy, write-ahead log and all, so that the files themselves stay as the node left them. Absent: there is none that can be read. */
async function openCopy(
  path: string,
  copies: TempFolder,
  problems: string[],
): Promise<SqliteDatabase | undefined> {
  if (!existsSync(path)) {
    problems.push(`${path} is missing`);
    return undefined;
  }
  const copy = join(copies.path, basename(path));
  for (const suffix of ['', '-wal', '-journal']) {
    if (existsSync(path + suffix)) await copyFile(path + suffix, copy + suffix);
  }
  const database = new Database(copy);
  try {
    const result = database.pragma('integrity_check', { simple: true });
    const foreign = database.pragma('foreign_key_check') as unknown[];
    if (foreign.length > 0) problems.push(`${path}: ${foreign.length} rows refer to none`);
    if (result === 'ok') return database;
    problems.push(`${path}: ${String(result)}`);
  } catch (error) {
    problems.push(`${path}: ${String(error)}`);
  }
  database.close();
  return undefined;
}
