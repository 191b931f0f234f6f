import { AthensFileError } from './athens-download-mode.ts';

/** One rule of a filter file, ready to be asked in order: the first one that fits counts. */
export interface AthensFilterRule {
  /** `+` takes the module, `-` refuses it, `D` sends the client to the upstream. */
  readonly sign: '+' | '-' | 'D';
  /** Leading elements of the module path; empty for every module. */
  readonly path: string;
  /** A range as `parseVersionRange` reads it. Absent: every version. */
  readonly versions?: string | undefined;
}

/** A filter file in the order of `first that fits`, and what of it never counted. */
export interface AthensFilter {
  readonly rules: readonly AthensFilterRule[];
  /** True: ranges in it leave out pre-releases in Athens, and do not here. */
  readonly compares: boolean;
  /** Qualifiers that fit no version in Athens, with their lines. */
  readonly useless: readonly { readonly line: number; readonly qualifier: string }[];
}

const SIGNS = ['+', '-', 'D'] as const;
const NUMBERS = /^v(\d+)\.(\d+)\.(\d+)$/;

/** Reads a filter file: the rule with the longest path counts, of two with one path the later. Throws `AthensFileError`. */
export function parseAthensFilter(text: string): AthensFilter {
  const rules = new Map<string, AthensFilterRule>();
  const useless: { line: number; qualifier: string }[] = [];
  let compares = false;
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim().split(/\s+/).filter(Boolean);
    const [first = '', written = '', qualifiers] = words;
    if (first === '' || first.startsWith('#')) continue;
    const sign = SIGNS.find((known) => known === first);
    if (sign === undefined || words.length > 3) {
      const expected = '+, - or D with a path and qualifiers such as "- example.com/x ~v1.2.3,v2"';
      throw new AthensFileError(index + 1, expected, JSON.stringify(line.trim()));
    }
    const path = written.replace(/^\/+|\/+$/g, '');
    if (qualifiers === undefined || path === '') {
      rules.set(path, { sign, path });
      continue;
    }
    const conditions: string[] = [];
    for (const qualifier of qualifiers.split(',')) {
      const condition = conditionOf(qualifier);
      if (condition === undefined) useless.push({ line: index + 1, qualifier });
      else conditions.push(condition);
      compares ||= condition !== undefined && !condition.startsWith('v');
    }
    // Not even the rule before it counts: the later one of a path stands alone.
    rules.delete(path);
    if (conditions.length > 0) rules.set(path, { sign, path, versions: conditions.join(' || ') });
  }
  const depth = ({ path }: AthensFilterRule): number => (path === '' ? 0 : path.split('/').length);
  return {
    rules: [...rules.values()].sort((left, right) => depth(right) - depth(left)),
    compares,
    useless,
  };
}

// As its code compares them: `<` takes the version itself, `^` keeps the major version also of v0.
function conditionOf(qualifier: string): string | undefined {
  const bare = qualifier.replace(/\*+$/, '').replace(/\.$/, '');
  if (/^v\d+(\.\d+){0,2}$/.test(bare)) return bare;
  if (/^v\d+\.\d+\.\d+[-+][\w.+-]+$/.test(bare)) return bare;
  const [, major = '', minor = '', patch = ''] = NUMBERS.exec(bare.slice(1)) ?? [];
  if (major === '') return undefined;
  const version = `v${major}.${minor}.${patch}`;
  switch (bare.charAt(0)) {
    case '~':
      return `~${version}`;
    case '^':
      return major === '0' ? `>=${version} <v1.0.0-0` : `^${version}`;
    case '<':
      return `<=${version}`;
    default:
      return undefined;
  }
}
