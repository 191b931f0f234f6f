import { readGoproxyPath } from './goproxy-path.ts';
import { isVersionOf, unescapeGo } from './module-path.ts';
import { isSumdbLookup, isSumdbTile } from './sumdb-path.ts';
import { compareVersions, isPseudoVersion } from './version.ts';

/**
 * A file that never changes, or the newest tree of a checksum database, by its escaped GOPROXY path, which is its key and its
 * place in a folder.
 */
export interface GoproxyFile {
  readonly path: string;
  /** `latest`: that of a checksum database. */
  readonly file: 'info' | 'mod' | 'zip' | 'lookup' | 'tile' | 'latest';
  /** Unescaped; empty for a tile or tree. */
  readonly module: string;
  /** Unescaped; empty for a tile or tree. */
  readonly version: string;
  /** Name of the checksum database. Absent: a module's own file. */
  readonly database?: string | undefined;
}

const SUMDB =
  /^sumdb\/([a-z0-9.-]+(?::\d+)?(?:\/[A-Za-z0-9._~-]+)*?)\/(latest|(?:lookup|tile)\/.*)$/s;
const PLAIN_PART = /(?:^|\/)\.{1,2}(?:\/|$)/;

/** Takes a path apart. Absent: it is none of these, such as a list or a branch's `.info`. */
export function readGoproxyFile(path: string): GoproxyFile | undefined {
  if (path.startsWith('sumdb/')) return readSumdbFile(path);
  const read = readGoproxyPath(path);
  if ('reason' in read || !('version' in read)) return undefined;
  const { module, version, file } = read;
  return isVersionOf(module, version) ? { path, file, module, version } : undefined;
}

/** What the list of a module has: released versions in order, the lowest first, a line each; '' for none. */
export function listOf(versions: readonly string[]): string {
  return versions
    .filter((version) => !isPseudoVersion(version))
    .sort(compareVersions)
    .map((version) => `${version}\n`)
    .join('');
}

/** The version that `@latest` names: the highest release, else the highest pre-release, else the newest commit. Absent: there is none. */
export function latestOf(versions: readonly string[]): string | undefined {
  const rank = (version: string): number =>
    isPseudoVersion(version) ? 0 : /^[^+]*-/.test(version) ? 1 : 2;
  // Commits are in order of their time, whatever tag they follow.
  const timeOf = (version: string): string => /(\d{14})-[^-]*$/.exec(version)?.[1] ?? '';
  return versions.reduce<string | undefined>((best, version) => {
    if (best === undefined || rank(version) > rank(best)) return version;
    if (rank(version) < rank(best)) return best;
    const order =
      rank(version) > 0
        ? compareVersions(version, best)
        : timeOf(version).localeCompare(timeOf(best), 'en');
    return order > 0 ? version : best;
  }, undefined);
}

function readSumdbFile(path: string): GoproxyFile | undefined {
  const [, database, rest] = SUMDB.exec(path) ?? [];
  if (database === undefined || rest === undefined || PLAIN_PART.test(database)) return undefined;
  if (isSumdbTile(rest)) return { path, file: 'tile', module: '', version: '', database };
  if (rest === 'latest') return { path, file: 'latest', module: '', version: '', database };
  if (!isSumdbLookup(rest)) return undefined;
  const [module = '', version = ''] = rest.slice('lookup/'.length).split('@');
  return {
    path,
    file: 'lookup',
    module: unescapeGo(module) ?? '',
    version: unescapeGo(version) ?? '',
    database,
  };
}
