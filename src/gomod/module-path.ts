import { fitsPathMajor, isCanonicalVersion } from './version.ts';

/** Names that Windows keeps for devices, in any case and with any extension. */
const WINDOWS_DEVICE = /^(?:con|prn|aux|nul|com[1-9]|lpt[1-9])$/i;

const ESCAPED_UPPER = /!([a-z])/g;
/** Pieces of which an escaped text consists: no upper case, no lone `!`, ASCII only. */
const ESCAPED = /^(?:[^!A-Z\u0080-\u{10ffff}]|![a-z])*$/u;
const PATH_ELEMENT = /^[-._~0-9A-Za-z]+$/;
const HOST_ELEMENT = /^[-.0-9a-z]+$/;
/** What an unescaped version or query may hold: a file name on any system. */
const FILE_NAME = /^[-0-9A-Za-z!#$%&()+,.=@[\]^_{}~ ]+$/;

/** Each upper-case letter as `!` and its lower case, so that names differ on any file system. As x/mod. */
export function escapeGo(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => `!${letter.toLowerCase()}`);
}

/** The text that was escaped. Absent: upper case, not ASCII, or a `!` before no lower-case letter. As x/mod. */
export function unescapeGo(escaped: string): string | undefined {
  if (!ESCAPED.test(escaped)) return undefined;
  return escaped.replace(ESCAPED_UPPER, (_, letter: string) => letter.toUpperCase());
}

/** Why a text is no module path, in a few words. Absent: it is one. As x/mod CheckPath. */
export function checkModulePath(path: string): string | undefined {
  if (path === '') return 'empty module path';
  if (path.startsWith('-')) return 'leading dash in module path';
  const elements = path.split('/');
  for (const element of elements) {
    const reason = checkElement(element);
    if (reason !== undefined) return reason;
  }
  const host = elements[0] ?? '';
  if (!host.includes('.')) return 'missing dot in first element of module path';
  if (!HOST_ELEMENT.test(host)) return 'first element of module path is no lower-case host name';
  return pathMajorOf(path) === undefined ? 'malformed major version in module path' : undefined;
}

/**
 * The part of a module path that names its major version: `/v2`, on gopkg.in `.v3` or `.v3-unstable`; '' for none.
 * Absent: the path ends in something that looks like one and is not allowed. As x/mod SplitPathVersion.
 */
export function pathMajorOf(path: string): string | undefined {
  if (path.startsWith('gopkg.in/')) return /.(\.v(?:0|[1-9]\d*(?:-unstable)?))$/.exec(path)?.[1];
  const suffix = /.(\/v[\d.]+)$/.exec(path)?.[1];
  if (suffix === undefined) return '';
  return /^\/v(?:[2-9]|[1-9]\d+)$/.test(suffix) ? suffix : undefined;
}

/** Why a text is no version and no query such as a branch or a commit. Absent: it may be one. As x/mod UnescapeVersion. */
export function checkVersionQuery(version: string): string | undefined {
  if (version === '' || /^\.+$/.test(version) || version.endsWith('.')) return 'malformed version';
  if (version.includes('!') || !FILE_NAME.test(version))
    return 'version has a character not allowed';
  return isReservedName(version) ? 'version is a reserved file name' : undefined;
}

/** True: a canonical version that may belong to this module path; its files never change. As x/mod Check. */
export function isVersionOf(path: string, version: string): boolean {
  const major = pathMajorOf(path);
  return major !== undefined && isCanonicalVersion(version) && fitsPathMajor(version, major);
}

function checkElement(element: string): string | undefined {
  if (element === '') return 'empty element in module path';
  if (element.startsWith('.')) return 'leading dot in an element of module path';
  if (element.endsWith('.')) return 'trailing dot in an element of module path';
  if (!PATH_ELEMENT.test(element)) return 'module path has a character not allowed';
  if (isReservedName(element)) return 'module path has a reserved file name';
  if (/~\d+$/.test(stem(element))) return 'trailing tilde and digits in an element of module path';
  return undefined;
}

/** True: Windows keeps this name of a file for a device, with any extension. */
export function isReservedName(name: string): boolean {
  return WINDOWS_DEVICE.test(stem(name));
}

function stem(name: string): string {
  return name.split('.', 1)[0] ?? '';
}
