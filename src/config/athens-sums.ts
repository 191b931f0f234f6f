import { messageOf } from '../errors.ts';
import { parseModulePatterns } from '../gomod/module-pattern.ts';
import { sumdbKey } from '../gomod/sumdb-keys.ts';
import { asIs } from './athens-draft.ts';
import type { AthensSettings } from './athens-settings.ts';
import type { AthensFetchers } from './athens-sources.ts';

/** A database as a rule has it. */
interface SumdbEntry {
  readonly name: string;
  readonly key?: string | undefined;
  readonly url: string;
}

/** Keys of the rule about checksums, and what of them is not as in Athens. */
export interface AthensSums {
  readonly keys: {
    readonly sumdb?: readonly SumdbEntry[];
    readonly noSumdb?: string;
    readonly checkSums?: 'require';
  };
  readonly partly: readonly [key: string, text: string][];
}

const NONE_HERE = 'go env GOSUMDB names no database here; Athens passed a public one on';
const NO_KEY = 'Athens checked sums with its go command: add the key of a database and checkSums';
const REFUSED = 'lookups of what Athens only left unchecked are refused too';

/**
 * Databases that are passed on, patterns of modules that they must not hear of, and the check that the go command of Athens
 * made of what it fetched. `ownSumdb`: what `go env GOSUMDB` says here.
 */
export async function sumsOf(
  settings: AthensSettings,
  fetchers: AthensFetchers,
  ownSumdb: () => Promise<string | undefined>,
): Promise<AthensSums> {
  const own = entryOf((await ownSumdb()) ?? 'off');
  const written = settings.list('SumDBs')?.map((url) => named(settings, url, own));
  if (written === undefined && own === undefined) settings.note('SumDBs', NONE_HERE);
  const sumdb = written ?? (own === undefined ? undefined : [own]);
  const refused = checkedPatterns(settings, 'NoSumPatterns', settings.list('NoSumPatterns') ?? []);
  const unchecked = checkedPatterns(settings, 'GoBinaryEnvVars', fetchers.unchecked ?? []);
  const all = fetchers.unchecked?.includes('*') === true;
  const checks = fetchers.checksSums && !all;
  const first = sumdb?.[0];
  const known = first !== undefined && hasKey(first);
  if (checks && !known && sumdb !== undefined) settings.note('SumDBs', NO_KEY);
  const patterns = new Set([...refused, ...(checks ? unchecked : [])]);
  return {
    keys: {
      ...(sumdb !== undefined && { sumdb }),
      ...(patterns.size > 0 && { noSumdb: [...patterns].join(',') }),
      ...(checks && known && { checkSums: 'require' as const }),
    },
    partly: patterns.size > refused.length ? [['noSumdb', REFUSED]] : [],
  };
}

/** The patterns, fit for a text of the configuration. What is no pattern is refused. */
export function checkedPatterns(
  settings: AthensSettings,
  toml: string,
  patterns: readonly string[],
): readonly string[] {
  for (const pattern of patterns) {
    try {
      parseModulePatterns(pattern);
    } catch (error) {
      settings.refuse(toml, 'patterns such as example.com/*', messageOf(error));
    }
  }
  return patterns.map(asIs);
}

function hasKey({ name, key }: SumdbEntry): boolean {
  try {
    sumdbKey(key ?? name);
    return true;
  } catch {
    return false;
  }
}

// GOSUMDB is `off`, a name or a key (`name+hash+key`), with perhaps a URL behind it (go help environment).
function entryOf(gosumdb: string): SumdbEntry | undefined {
  const [key = '', url] = gosumdb.split(/\s+/);
  const name = key.split('+', 1)[0] ?? '';
  if (name === '' || name === 'off') return undefined;
  return { name, ...(key !== name && { key }), url: url ?? `https://${name}` };
}

function named(settings: AthensSettings, text: string, own: SumdbEntry | undefined): SumdbEntry {
  const url = URL.parse(text);
  if (url?.protocol !== 'https:' || url.username !== '' || url.search !== '')
    settings.refuse('SumDBs', 'https URLs', JSON.stringify(text));
  const name = url?.host ?? '';
  const key = name === own?.name ? own.key : undefined;
  return { name, ...(key !== undefined && { key }), url: `https://${name}` };
}
