import { matchesModulePattern } from '../gomod/module-pattern.ts';
import type { AthensFilterRule } from './athens-filter.ts';

/** One entry of a go rule's `modules`. */
export interface ModuleEntry {
  /** Patterns as GOPRIVATE has them; none of those made here holds a comma. */
  readonly match: string;
  readonly versions?: string | undefined;
  readonly mode?: string | undefined;
  readonly fetch?: readonly string[] | undefined;
  readonly private?: true | undefined;
  /** The reason that clients are told. */
  readonly deny?: string | undefined;
}

/** What Athens says of modules in three places. */
export interface AthensRules {
  /** In order: the first one that fits counts. */
  readonly filter: readonly AthensFilterRule[];
  /** What a download mode file says of a pattern, in order. */
  readonly blocks: readonly ModuleEntry[];
  /** What is different for patterns that are fetched from version control whatever GOPROXY says. */
  readonly direct: {
    readonly patterns: readonly string[];
    /** Those of them that count where no block of the file fits. */
    readonly otherwise: readonly string[];
    readonly entry: Omit<ModuleEntry, 'match'>;
  };
  /** Where a `D` of the filter sends clients. */
  readonly elsewhere: Omit<ModuleEntry, 'match'>;
}

/** One list that stands for all three, and pairs of patterns of which it cannot tell which modules both take. */
export interface MergedModules {
  readonly entries: readonly ModuleEntry[];
  readonly unclear: readonly (readonly [string, string])[];
}

const EVERY = '*';
const ALL = '>=v0.0.0-0';
const REASON = 'refused by a rule of this proxy';

/**
 * Athens asks the filter, then the download mode, then GOPRIVATE; a node takes the first entry that fits. So each rule of
 * the filter that lets a module in comes with what the others say of the modules below its path.
 */
export function mergeModules({ filter, blocks, direct, elsewhere }: AthensRules): MergedModules {
  const unclear: (readonly [string, string])[] = [];
  const both = (left: string, right: string): string | undefined => {
    const result = intersect(left, right);
    if (result === 'unclear') unclear.push([left, right]);
    return result === 'unclear' || result === 'none' ? undefined : result.match;
  };
  const within = (match: string, inner: readonly ModuleEntry[]): readonly ModuleEntry[] =>
    inner.flatMap((entry) => {
      const common = both(match, entry.match);
      return common === undefined ? [] : [{ ...entry, match: common }];
    });

  const directly = (patterns: readonly string[]): readonly ModuleEntry[] =>
    patterns.map((match) => ({ match, ...direct.entry }));
  const base = [
    ...blocks.flatMap((block) => [
      // A redirect goes where it says, however the module would have been fetched.
      ...(!redirects(block)
        ? within(block.match, directly(direct.patterns)).map((entry) => ({ ...block, ...entry }))
        : []),
      block,
    ]),
    ...directly(direct.otherwise),
  ];
  const inOrder = (rules: readonly AthensFilterRule[]): readonly ModuleEntry[] => {
    const entries = rules.flatMap(({ sign, path, versions }): readonly ModuleEntry[] => {
      const match = path === '' ? EVERY : literal(path);
      const range = versions === undefined ? {} : { versions };
      if (sign === '-') return [{ match, ...range, deny: REASON }];
      if (sign === 'D') return [{ match, ...range, ...elsewhere }];
      if (path === '') return base;
      const inner = within(match, base).map((entry) => ({ ...entry, ...range }));
      return [...inner, { match, ...range }];
    });
    return rules.some(({ path }) => path === '') ? entries : [...entries, ...base];
  };
  const entries = inOrder(filter);
  // Entries with versions say nothing of lists, and of some versions that are let in the list is wanted too: first
  // everything for what has a version, then for what has none.
  const lists = filter.some(({ sign, versions }) => sign === '+' && versions !== undefined)
    ? inOrder(filter.flatMap(forLists))
    : undefined;
  if (lists === undefined) return { entries: firstOfEach(entries), unclear };
  const versioned = entries.map((entry) => ({ ...entry, versions: entry.versions ?? ALL }));
  return { entries: firstOfEach([...versioned, ...lists]), unclear };
}

// A list of versions of which some are refused is a list.
function forLists({ sign, path, versions }: AthensFilterRule): readonly AthensFilterRule[] {
  return versions === undefined || sign === '+' ? [{ sign, path }] : [];
}

/** The modules that two patterns both take: the elements of each must fit, the longer pattern's last ones stand alone. */
function intersect(left: string, right: string): { readonly match: string } | 'none' | 'unclear' {
  const [one, other] = [left.split('/'), right.split('/')];
  const elements: string[] = [];
  for (let at = 0; at < Math.max(one.length, other.length); at += 1) {
    const [a, b] = [one[at] ?? EVERY, other[at] ?? EVERY];
    if (a === b || b === EVERY) elements.push(a);
    else if (a === EVERY) elements.push(b);
    else if (!isPlain(a) && !isPlain(b)) return 'unclear';
    else if (matchesModulePattern(a, b)) elements.push(b);
    else if (matchesModulePattern(b, a)) elements.push(a);
    else return 'none';
  }
  return { match: elements.join('/') };
}

function firstOfEach(entries: readonly ModuleEntry[]): readonly ModuleEntry[] {
  const seen = new Set<string>();
  return entries.filter(({ match, versions }) => {
    const id = JSON.stringify([match, versions]);
    return !seen.has(id) && seen.add(id);
  });
}

function redirects({ mode = '' }: Pick<ModuleEntry, 'mode'>): boolean {
  return mode.endsWith('redirect');
}

function isPlain(element: string): boolean {
  return !/[*?[\\]/.test(element);
}

// A filter file knows no globs: what looks like one stands for itself.
function literal(path: string): string {
  return path.replaceAll(/[*?[\\]/g, '\\$&');
}
