import { checkModulePath, checkVersionQuery, unescapeGo } from './module-path.ts';
import { isCanonicalVersion } from './version.ts';

/** A path below a checksum database's name. */
export interface SumdbPath {
  /** As configured: `sums.example.org` or `sums.example.org/sumdb`. */
  readonly name: string;
  /** Without a leading slash: `latest`, `lookup/…`, `tile/…`. */
  readonly rest: string;
}

/** As x/mod ParseTilePath. */
const MAX_TILE_HEIGHT = 30;
/** A tree of a log has fewer than 2^64 leaves. */
const MAX_TILE_LEVEL = 63;

const TILE =
  /^tile\/([1-9]\d?)\/(0|[1-9]\d?|data)\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/([1-9]\d{0,9}))?$/;

/** Splits what follows `sumdb/` at a configured name; the longest that fits wins. Absent: none of the names. */
export function splitSumdbPath(path: string, names: readonly string[]): SumdbPath | undefined {
  let found: string | undefined;
  for (const name of names) {
    if (path.startsWith(`${name}/`) && name.length > (found?.length ?? 0)) found = name;
  }
  return found === undefined ? undefined : { name: found, rest: path.slice(found.length + 1) };
}

/** Module and version of `lookup/M@V`, unescaped. Absent: none, or one with an illegal module path or a version that is not canonical. */
export function readSumdbLookup(
  rest: string,
): { readonly module: string; readonly version: string } | undefined {
  const [, escapedModule, escapedVersion] = /^lookup\/([^@]+)@([^@]+)$/.exec(rest) ?? [];
  const module = unescapeGo(escapedModule ?? '');
  const version = unescapeGo(escapedVersion ?? '');
  if (module === undefined || version === undefined) return undefined;
  const legal =
    checkModulePath(module) === undefined &&
    checkVersionQuery(version) === undefined &&
    isCanonicalVersion(version);
  return legal ? { module, version } : undefined;
}

/** True: `lookup/M@V` with a legal escaped module path and canonical version. */
export function isSumdbLookup(rest: string): boolean {
  return readSumdbLookup(rest) !== undefined;
}

/** True: `tile/H/L/K[.p/W]` or `tile/H/data/K[.p/W]` in its one spelling, as x/mod ParseTilePath. */
export function isSumdbTile(rest: string): boolean {
  const [, height, level, index = '', width] = TILE.exec(rest) ?? [];
  if (height === undefined || Number(height) > MAX_TILE_HEIGHT) return false;
  if (level !== 'data' && Number(level) > MAX_TILE_LEVEL) return false;
  // A first group of zeros before others would be a second spelling of the same number.
  if (index.startsWith('x000')) return false;
  return width === undefined || Number(width) < 2 ** Number(height);
}
