import { checkModulePath, checkVersionQuery, escapeGo, unescapeGo } from './module-path.ts';
import { isCanonicalVersion } from './version.ts';

/** Files of a module that a GOPROXY serves. */
export type ModuleFile = 'list' | 'latest' | 'info' | 'mod' | 'zip';

/** A module request taken apart, unescaped. `version` of an `info` may be a query: a branch, a tag, a commit. */
export type GoproxyPath =
  | { readonly module: string; readonly file: 'list' | 'latest' }
  | { readonly module: string; readonly file: 'info' | 'mod' | 'zip'; readonly version: string };

/** Queries that the client resolves from the list by itself. */
const CLIENT_QUERIES = new Set(['latest', 'upgrade', 'patch']);

/** Takes an escaped GOPROXY path apart, without a leading slash; `reason` says in a few words why it is none. */
export function readGoproxyPath(path: string): GoproxyPath | { readonly reason: string } {
  const [, escapedModule, file] = /^(.*?)\/(@latest$|@v\/.*)/s.exec(path) ?? [];
  if (escapedModule === undefined || file === undefined) return { reason: 'no such endpoint' };
  const module = unescapeGo(escapedModule);
  if (module === undefined) return { reason: 'malformed escape in module path' };
  const reason = checkModulePath(module);
  if (reason !== undefined) return { reason };
  if (file === '@latest') return { module, file: 'latest' };
  if (file === '@v/list') return { module, file: 'list' };
  const [, escapedVersion = '', kind] = /^@v\/(.*)\.(info|mod|zip)$/s.exec(file) ?? [];
  if (kind !== 'info' && kind !== 'mod' && kind !== 'zip') return { reason: 'no such endpoint' };
  const version = unescapeGo(escapedVersion);
  if (version === undefined) return { reason: 'malformed escape in version' };
  const malformed = checkVersionQuery(version);
  if (malformed !== undefined) return { reason: malformed };
  if (CLIENT_QUERIES.has(version)) return { reason: `"${version}" is no version` };
  if (kind !== 'info' && !isCanonicalVersion(version))
    return { reason: 'not a canonical version; its .info names the one to ask for' };
  return { module, file: kind, version };
}

/** The escaped GOPROXY path of one file of a module: its key, and what an upstream is asked for below its address. */
export function goproxyPath(
  module: string,
  file: ModuleFile,
  version?: string | undefined,
): string {
  const base = escapeGo(module);
  if (file === 'latest') return `${base}/@latest`;
  return file === 'list' ? `${base}/@v/list` : `${base}/@v/${escapeGo(version ?? '')}.${file}`;
}
