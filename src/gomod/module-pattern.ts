import { compareVersions, isPseudoVersion } from './version.ts';

/** Whether a module path fits a list of patterns. */
export type ModuleMatcher = (module: string) => boolean;

/**
 * Reads patterns as GOPRIVATE has them (x/mod MatchPrefixPatterns): comma separated, each a glob of path.Match that is
 * compared with as many leading elements of the module path as it has itself. Throws a plain `Error` for a malformed glob.
 */
export function parseModulePatterns(patterns: string): ModuleMatcher {
  const globs = patterns
    .split(',')
    .map((glob) => glob.trim().replace(/\/+$/, ''))
    .filter((glob) => glob !== '')
    .map((glob) => ({ depth: glob.split('/').length, expression: globExpression(glob) }));
  return (module) => {
    const elements = module.split('/');
    return globs.some(
      ({ depth, expression }) =>
        elements.length >= depth && expression.test(elements.slice(0, depth).join('/')),
    );
  };
}

/** True: the module path fits one of the patterns; see `parseModulePatterns`. */
export function matchesModulePattern(patterns: string, module: string): boolean {
  return parseModulePatterns(patterns)(module);
}

/** Whether a version lies in a range. */
export type VersionMatcher = (version: string) => boolean;

/**
 * Reads a range of versions: conditions separated by spaces must all hold, `||` separates alternatives. A condition is
 * `=`, `<`, `<=`, `>`, `>=` before a version, `^v1.2.3` (same major, for v0 same minor), `~v1.2.3` (same minor), or a
 * version alone: `v1` and `v1.2` fit all that begin so, `v1.2.3` fits itself. `pseudo` fits versions that name a commit.
 * Pre-releases are compared like any other version. Throws a plain `Error` that names the condition it cannot read.
 */
export function parseVersionRange(range: string): VersionMatcher {
  const alternatives = range.split('||').map((part) => {
    const conditions = part.trim().split(/\s+/).filter(Boolean).map(parseCondition);
    if (conditions.length === 0) throw new Error('an empty range of versions');
    return conditions;
  });
  return (version) =>
    alternatives.some((conditions) => conditions.every((condition) => condition(version)));
}

const CONDITION =
  /^(<=|>=|<|>|=|\^|~)?(v\d+(?:\.\d+)?(?:\.\d+)?(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)$/;

function parseCondition(text: string): VersionMatcher {
  if (text === 'pseudo') return isPseudoVersion;
  const [, operator = '', version = ''] = CONDITION.exec(text) ?? [];
  if (version === '' || compareVersions(version, '') <= 0)
    throw new Error(`${JSON.stringify(text)} is no condition such as >=v1.2.0, ^v1.2.3 or v1.2`);
  const parts = version.replace(/[-+].*$/, '').split('.').length;
  const compared = (test: (order: number) => boolean): VersionMatcher => {
    return (other) => test(compareVersions(other, version));
  };
  switch (operator) {
    case '<':
      return compared((order) => order < 0);
    case '<=':
      return compared((order) => order <= 0);
    case '>':
      return compared((order) => order > 0);
    case '>=':
      return compared((order) => order >= 0);
    case '^':
      return within(version, version.startsWith('v0') ? 2 : 1);
    case '~':
      return within(version, 2);
    case '=':
      return compared((order) => order === 0);
    default:
      return parts === 3 ? compared((order) => order === 0) : beginsWith(version);
  }
}

// At or above the version, and the same in its first numbers.
function within(version: string, numbers: number): VersionMatcher {
  const prefix = numbersOf(version).slice(0, numbers);
  return (other) => compareVersions(other, version) >= 0 && startsWith(numbersOf(other), prefix);
}

function beginsWith(version: string): VersionMatcher {
  const prefix = numbersOf(version);
  return (other) => startsWith(numbersOf(other), prefix);
}

function startsWith(numbers: readonly string[], prefix: readonly string[]): boolean {
  return prefix.every((number, at) => numbers[at] === number);
}

function numbersOf(version: string): readonly string[] {
  return version
    .slice(1)
    .replace(/[-+].*$/, '')
    .split('.');
}

// path.Match: `*` and `?` do not cross a slash, a class is between brackets, a backslash takes the next character as it is.
function globExpression(glob: string): RegExp {
  const elements: string[][] = [['']];
  const add = (source: string): void => {
    const pieces = elements.at(-1) as string[];
    pieces.push((pieces.pop() ?? '') + source);
  };
  for (let at = 0; at < glob.length; at++) {
    const character = glob.charAt(at);
    if (character === '*') elements.at(-1)?.push('');
    else if (character === '/') elements.push(['']);
    else if (character === '?') add('[^/]');
    else if (character === '[') {
      const end = glob.indexOf(']', at + 2);
      if (end < 0) throw new Error(`the pattern ${JSON.stringify(glob)} has a [ without its ]`);
      add(classSource(glob.slice(at + 1, end)));
      at = end;
    } else if (character === '\\') {
      at += 1;
      if (at === glob.length) throw new Error(`the pattern ${JSON.stringify(glob)} ends in a \\`);
      add(literal(glob.charAt(at)));
    } else add(literal(character));
  }
  return new RegExp(`^${elementsSource(elements)}$`);
}

// What follows a star is taken where it is first found and never looked for again, unless it ends its element: clients choose the
// text, and going back over each of several stars would take them minutes.
function elementsSource(elements: readonly (readonly string[])[]): string {
  let group = 0;
  const sources = elements.map(([first = '', ...afterStars]) => {
    const last = afterStars.pop();
    const middle = afterStars
      .filter((piece) => piece !== '')
      .map((piece) => `(?=([^/]*?${piece}))\\${++group}`);
    return first + middle.join('') + (last === undefined ? '' : `[^/]*${last}`);
  });
  return sources.join('/');
}

function classSource(content: string): string {
  const negated = content.startsWith('^');
  const members = (negated ? content.slice(1) : content).replace(/[\\\]^[]/g, '\\$&');
  return negated ? `[^/${members}]` : `[${members}]`;
}

function literal(character: string): string {
  return character.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
