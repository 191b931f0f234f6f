import { lstat, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { SqliteDatabase } from '../../src/sqlite/open-database.ts';
import type { Backend } from '../../src/storage/backend.ts';
import {
  blocksOfFile,
  blocksOfStream,
  digestFromBytes,
  digestOf,
  impliedBlocks,
  isDigest,
  parseDigest,
} from '../../src/storage/digest.ts';
import { isNoteName, isNoteOwner, NOTES_PLACE } from '../../src/storage/notes.ts';
import { UNSYNCED_NOTE } from '../../src/storage/unsynced-bodies.ts';

/** Bodies found whole, by digest, with their size. */
export type FoundBodies = Map<string, number>;

interface BlobRow {
  readonly digest: Buffer;
  readonly size: number;
  readonly blocks: Buffer | null;
  readonly place: number;
}

/** Checks a disk backend's rows against its files and small bodies. Gives what is whole. */
export async function auditDisk(
  database: SqliteDatabase,
  name: string,
  folder: string,
  problems: string[],
): Promise<FoundBodies> {
  const found: FoundBodies = new Map();
  const rows = database
    .prepare<[string], BlobRow>('SELECT digest, size, blocks, place FROM blobs WHERE backend = ?')
    .all(name);
  const body = database.prepare<[number], Buffer>('SELECT body FROM small_bodies WHERE id = ?');
  for (const row of rows) {
    const digest = digestFromBytes(row.digest);
    const say = (what: string): void => void problems.push(`${name} ${digest}: ${what}`);
    if (row.place > 0) {
      const bytes = body.pluck().get(row.place) as Buffer | undefined;
      if (bytes === undefined) say('its small body is missing');
      else if (bytes.length !== row.size) say(`has ${bytes.length} bytes, not ${row.size}`);
      else if (digestOf(bytes) !== digest) say('its small body has another digest');
      else found.set(digest, row.size);
      continue;
    }
    const path = join(folder, digest.slice(0, 2), digest);
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined) say('its file is missing');
    else if (!stats.isFile()) say('is no plain file');
    else if (stats.size !== row.size) say(`its file has ${stats.size} bytes, not ${row.size}`);
    else {
      const real = await blocksOfFile(path);
      const blocks = row.blocks ?? impliedBlocks(digest, row.size);
      if (real.digest !== digest) say('its file has another digest');
      else if (blocks?.equals(real.blocks) !== true) say('its block digests do not fit');
      else found.set(digest, row.size);
    }
  }
  return found;
}

/** Small bodies that no row of any backend names: they are written and removed together. */
export function auditSmallBodies(database: SqliteDatabase, problems: string[]): void {
  const ids = database
    .prepare('SELECT id FROM small_bodies WHERE id NOT IN (SELECT place FROM blobs)')
    .pluck()
    .all();
  for (const id of ids) problems.push(`node database: small body ${String(id)} belongs to no blob`);
}

/** Files of a disk backend by digest, and what does not belong there. */
export async function blobFiles(folder: string, problems: string[]): Promise<string[]> {
  const digests: string[] = [];
  for (const path of await filesBelow(folder)) {
    const [prefix = '', name = '', ...rest] = path.split('/');
    if (path === UNSYNCED_NOTE) continue;
    if (prefix === 'tmp' || (prefix === 'quarantine' && isDigest(name))) continue;
    if (prefix === NOTES_PLACE && isNoteOwner(name) && isNoteName(rest.join('/'))) continue;
    if (isDigest(name) && name.startsWith(prefix) && prefix.length === 2 && rest.length === 0) {
      digests.push(name);
    } else problems.push(`${join(folder, path)} is no blob`);
  }
  return digests;
}

/** Reads every body of a backend through itself. Gives what is whole. */
export async function auditBackend(backend: Backend, problems: string[]): Promise<FoundBodies> {
  const found: FoundBodies = new Map();
  for await (const { digest, size } of backend.list()) {
    const say = (what: string): void => void problems.push(`${backend.name} ${digest}: ${what}`);
    try {
      const opened = await backend.open(parseDigest(digest));
      if (opened === undefined) {
        say('is listed but not there');
        continue;
      }
      const real = await blocksOfStream(opened.body);
      if (real.digest !== digest) say('has another digest');
      else if (real.size !== size) say(`has ${real.size} bytes, not ${size}`);
      else found.set(digest, size);
    } catch (error) {
      say(`cannot be read: ${String(error)}`);
    }
  }
  return found;
}

/** Paths of all that is no folder below a folder, relative to it; empty where there is none. */
export async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
