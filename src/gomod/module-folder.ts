import { type Dirent, type Stats, statSync } from 'node:fs';
import { opendir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { codeOf, messageOf } from '../errors.ts';
import { type GoproxyFile, readGoproxyFile } from './goproxy-folder.ts';
import { goproxyPath, readGoproxyPath } from './goproxy-path.ts';
import { checkModulePath, isVersionOf } from './module-path.ts';

/**
 * How a folder of modules is laid out: `goproxy` as addresses of a module proxy, `modcache` as the go command's download
 * cache, which is the same with more beside it, `athens` as that proxy's disk: `<module>/<version>/{go.mod,source.zip,<version>.info}`.
 */
export type FolderFormat = 'goproxy' | 'athens' | 'modcache';

/** A folder of modules. */
export interface ModuleFolder {
  /** Where its layout begins. */
  readonly root: string;
  readonly format: FolderFormat;
}

/** Something found in a folder. */
export type FoundFile =
  | (GoproxyFile & {
      /** Relative to the folder. */
      readonly place: string;
    })
  | {
      /** Relative to the folder. */
      readonly place: string;
      /** Why it cannot be taken. */
      readonly problem: string;
    };

/** Below a module cache's own root. */
const DOWNLOADS = join('cache', 'download');
/** More folders in each other than any module path has. */
const MAX_DEPTH = 64;
/** Entries looked at while the layout is found out. */
const MAX_LOOKED_AT = 10_000;
const VERSION_FILE = /\.(?:info|mod|zip)$/;

/** Finds out how a folder is laid out, also that of a whole module cache. Absent: no module is found in any layout. Throws the file system's error. */
export async function findModuleFolder(
  path: string,
  format?: FolderFormat | undefined,
): Promise<ModuleFolder | undefined> {
  const downloads = join(path, DOWNLOADS);
  if (format !== 'athens' && format !== 'goproxy' && isFolder(downloads))
    return { root: downloads, format: 'modcache' };
  if (format !== undefined) return { root: path, format };
  let looked = 0;
  let found: FolderFormat | undefined;
  for await (const { place, entry } of walk(path)) {
    if (entry === undefined || ++looked > MAX_LOOKED_AT) break;
    if (!entry.isFile()) continue;
    const { name } = entry;
    if (/\.(?:ziphash|lock)$/.test(name)) return { root: path, format: 'modcache' };
    if (place.startsWith(`sumdb${sep}`) || basename(dirname(place)) === '@v') found ??= 'goproxy';
    else if (name === 'source.zip' || name === `${basename(dirname(place))}.info`)
      return { root: path, format: 'athens' };
    // The files that tell a module cache lie beside the first ones of a version.
    else if (found !== undefined) break;
  }
  return found && { root: path, format: found };
}

/** Every file of the folder that never changes, and what is in the way of one. Links are followed only to files within. */
export async function* filesIn({ root, format }: ModuleFolder): AsyncGenerator<FoundFile> {
  const real = await realpath(root);
  for await (const { place, entry, problem } of walk(root)) {
    if (entry === undefined) {
      yield { place, problem: problem ?? 'it cannot be read' };
      continue;
    }
    const read = format === 'athens' ? readAthens(place) : readGoproxy(place);
    if (entry.isFile()) {
      if (read !== undefined) yield read;
    } else if (entry.isSymbolicLink()) {
      const why = await leadsAstray(join(root, place), real);
      if (why !== undefined) yield { place, problem: why };
      else if (read !== undefined) yield read;
    }
  }
}

/** Where a file lies below the folder. */
export function placeIn(
  format: FolderFormat,
  { path, file, module, version }: GoproxyFile,
): string {
  if (format !== 'athens' || file === 'tile' || file === 'lookup' || file === 'latest') return path;
  const names = { info: `${version}.info`, mod: 'go.mod', zip: 'source.zip' };
  return `${module}/${version}/${names[file]}`;
}

/** Where the hash lies that a module cache keeps beside a zip. */
export function zipHashPlace(zip: string): string {
  return `${zip}hash`;
}

interface Walked {
  readonly place: string;
  /** Absent: a folder that cannot be read. */
  readonly entry?: Dirent | undefined;
  readonly problem?: string | undefined;
}

async function* walk(root: string, below = '', depth = 0): AsyncGenerator<Walked> {
  if (depth > MAX_DEPTH) {
    yield { place: below, problem: `more than ${MAX_DEPTH} folders in each other` };
    return;
  }
  try {
    for await (const entry of await opendir(join(root, below))) {
      const place = join(below, entry.name);
      if (entry.isDirectory()) yield* walk(root, place, depth + 1);
      else yield { place, entry };
    }
  } catch (error) {
    if (codeOf(error) === undefined || below === '') throw error;
    yield { place: below, problem: `it cannot be read: ${codeOf(error)}` };
  }
}

function readGoproxy(place: string): FoundFile | undefined {
  const path = place.split(sep).join('/');
  const read = readGoproxyFile(path);
  if (read !== undefined) return { ...read, place };
  if (basename(dirname(place)) !== '@v' || !VERSION_FILE.test(place)) return undefined;
  const why = readGoproxyPath(path);
  // Answers to queries, such as a branch's, are none of a version.
  return 'reason' in why ? { place, problem: why.reason } : undefined;
}

function readAthens(place: string): FoundFile | undefined {
  const folder = dirname(place);
  const version = basename(folder);
  const module = dirname(folder).split(sep).join('/');
  const name = basename(place);
  const file =
    name === 'go.mod'
      ? 'mod'
      : name === 'source.zip'
        ? 'zip'
        : name === `${version}.info`
          ? 'info'
          : undefined;
  if (file === undefined) return undefined;
  const reason = checkModulePath(module);
  if (reason !== undefined) return { place, problem: reason };
  if (!isVersionOf(module, version)) return { place, problem: `no version of ${module}` };
  return { path: goproxyPath(module, file, version), file, module, version, place };
}

// Absent: a file within the folder.
async function leadsAstray(path: string, root: string): Promise<string | undefined> {
  try {
    const real = await realpath(path);
    if (!real.startsWith(root + sep)) return 'a symbolic link that leads out of the folder';
    const found: Stats = await stat(real);
    return found.isFile() ? undefined : 'a symbolic link to what is no file is not followed';
  } catch (error) {
    return `a symbolic link that leads nowhere: ${codeOf(error) ?? messageOf(error)}`;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
