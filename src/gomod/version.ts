/** A semantic version as Go writes it, `v1.2.3-pre+build`, in its parts; `v1` and `v1.2` are filled up. */
interface Semver {
  readonly numbers: readonly [major: string, minor: string, patch: string];
  /** With its dash; '' for a release. */
  readonly prerelease: string;
  /** With its plus; '' where there is none. */
  readonly build: string;
}

const NUMBER = '(0|[1-9]\\d*)';
const SEMVER = new RegExp(
  `^v${NUMBER}(?:\\.${NUMBER}(?:\\.${NUMBER}(-[\\w.-]+)?(\\+[\\w.-]+)?)?)?$`,
);
const PSEUDO = /^v\d+\.(?:0\.0-|\d+\.\d+-(?:[^+]*\.)?0\.)\d{14}-[A-Za-z0-9]+(?:\+[0-9A-Za-z.-]+)?$/;
const IDENTIFIER = /^[0-9A-Za-z-]+$/;
const DIGITS = /^\d+$/;
const INCOMPATIBLE = '+incompatible';

/** Longer versions are refused: no tag is that long, and it bounds the time to read one. Characters. */
const MAX_VERSION = 512;

/** The version in full, build metadata dropped but `+incompatible`. Absent: no semantic version. As x/mod CanonicalVersion. */
export function canonicalVersion(version: string): string | undefined {
  const parsed = parse(version);
  if (parsed === undefined) return undefined;
  const build = parsed.build === INCOMPATIBLE ? INCOMPATIBLE : '';
  return `v${parsed.numbers.join('.')}${parsed.prerelease}${build}`;
}

/** True: a semantic version in the one form that files carry. */
export function isCanonicalVersion(version: string): boolean {
  return canonicalVersion(version) === version;
}

/** True: names a commit by its time and hash, as x/mod IsPseudoVersion. */
export function isPseudoVersion(version: string): boolean {
  return parse(version) !== undefined && PSEUDO.test(version);
}

/** Below, at or above 0 as semantic versions order, build metadata left out; what is no version comes first. As x/mod semver.Compare. */
export function compareVersions(one: string, other: string): number {
  const left = parse(one);
  const right = parse(other);
  if (left === undefined || right === undefined)
    return Number(left !== undefined) - Number(right !== undefined);
  for (const [i, number] of left.numbers.entries()) {
    const order = compareNumbers(number, right.numbers[i] ?? '0');
    if (order !== 0) return order;
  }
  return comparePrereleases(left.prerelease, right.prerelease);
}

/**
 * True: a version may belong to a module path with this suffix (`/v2`, `.v3`, `.v1-unstable`, '' for none).
 * As x/mod MatchPathMajor.
 */
export function fitsPathMajor(version: string, pathMajor: string): boolean {
  const parsed = parse(version);
  if (parsed === undefined) return false;
  const suffix = pathMajor.startsWith('.v') ? pathMajor.replace(/-unstable$/, '') : pathMajor;
  // An old fault made such pseudo-versions for gopkg.in; they are in use.
  if (suffix === '.v1' && version.startsWith('v0.0.0-')) return true;
  const [major] = parsed.numbers;
  if (suffix === '') return major === '0' || major === '1' || parsed.build === INCOMPATIBLE;
  return suffix.slice(1) === `v${major}`;
}

function parse(version: string): Semver | undefined {
  if (version.length > MAX_VERSION) return undefined;
  const match = SEMVER.exec(version);
  if (match === null) return undefined;
  const [, major = '0', minor, patch, prerelease = '', build = ''] = match;
  const before = prerelease === '' ? [] : prerelease.slice(1).split('.');
  const after = build === '' ? [] : build.slice(1).split('.');
  if (![...before, ...after].every((identifier) => IDENTIFIER.test(identifier))) return undefined;
  if (before.some((identifier) => /^0\d+$/.test(identifier))) return undefined;
  const numbers = [major, minor ?? '0', patch ?? '0'] as const;
  return { numbers, prerelease, build };
}

function comparePrereleases(one: string, other: string): number {
  if (one === other) return 0;
  if (one === '' || other === '') return one === '' ? 1 : -1;
  const left = one.slice(1).split('.');
  const right = other.slice(1).split('.');
  for (const [i, identifier] of left.entries()) {
    const against = right[i];
    if (against === undefined) return 1;
    if (identifier === against) continue;
    const numeric = DIGITS.test(identifier);
    if (numeric !== DIGITS.test(against)) return numeric ? -1 : 1;
    if (numeric) return compareNumbers(identifier, against);
    return identifier < against ? -1 : 1;
  }
  return -1;
}

/** Digits without leading zeros, of any length. */
function compareNumbers(one: string, other: string): number {
  if (one.length !== other.length) return one.length < other.length ? -1 : 1;
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
