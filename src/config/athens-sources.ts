import { messageOf } from '../errors.ts';
import { parseGoproxyList } from '../fetchers/goproxy-list.ts';
import type { AthensDraft } from './athens-draft.ts';
import { asIs } from './athens-draft.ts';
import type { AthensSettings } from './athens-settings.ts';

/** Where modules come from, by the names that the rule uses. */
export interface AthensFetchers {
  /** What the rule asks. */
  readonly main: string;
  /** False: Athens may fetch nothing. */
  readonly online: boolean;
  /** Patterns of modules that are fetched from version control whatever GOPROXY says. */
  readonly direct: readonly string[];
  /** Whether `main` is version control alone. */
  readonly onlyDirect: boolean;
  /** False: the go command of Athens was told to check no sums. */
  readonly checksSums: boolean;
  /** Patterns of modules whose sums it was told not to check. Absent: those whose lookups are refused. */
  readonly unchecked?: readonly string[] | undefined;
  /** The name of the fetcher of an upstream; made at its first use. */
  upstream(toml: string, url: string): string;
}

const DIRECT = 'git';
const MODULES = 'modules';
/** What is carried over of GoBinaryEnvVars. */
const CARRIED = new Set(['GOPROXY', 'GOPRIVATE', 'GONOPROXY', 'GONOSUMDB']);
const NO_GOPROXY = 'the go command of Athens decided; here that of this machine does';
/** The user that goes with every kind of token there. */
const GITHUB_USER = 'x-access-token';
/** Athens v0.18: seconds, and fetches at once. */
const STASH_SECONDS = 600;
const WORKERS = 10;

/** Reads GoBinaryEnvVars, the credentials and the limits of fetches, and writes `fetchers`. */
export function draftFetchers(settings: AthensSettings, draft: AthensDraft): AthensFetchers {
  const assignments = goEnvironment(settings);
  const list = assignments.get('GOPROXY');
  const patterns = patternsOf(assignments.get('GONOPROXY') ?? assignments.get('GOPRIVATE') ?? '');
  const unchecked = assignments.get('GONOSUMDB');
  const [first] = (list ?? 'go-env').split(/[,|]/, 1).map((word) => word.trim());
  const onlyDirect = first === 'direct' || first === 'off';
  const logins = new Logins(settings);
  if (!onlyDirect) {
    checkList(settings, list ?? '');
    const text =
      list === undefined || list === '' ? 'go-env' : logins.hide('GoBinaryEnvVars', list);
    const withDirect = text === 'go-env' || /(^|[,|])\s*direct\s*([,|]|$)/.test(text);
    draft.put(['fetchers', MODULES], {
      type: 'upstreams',
      list: text,
      ...(withDirect && { direct: DIRECT }),
    });
    if (text === 'go-env') draft.partly(['fetchers', MODULES], NO_GOPROXY);
    if (withDirect || patterns.length > 0) draftDirect(settings, draft);
    else noteUnused(settings);
  } else draftDirect(settings, draft);

  const made = new Map<string, string>();
  return {
    main: onlyDirect ? DIRECT : MODULES,
    online: first !== 'off',
    direct: patterns,
    onlyDirect,
    checksSums: assignments.get('GOSUMDB') !== 'off',
    unchecked: unchecked === undefined ? undefined : patternsOf(unchecked),
    upstream(toml, url) {
      const known = made.get(url);
      if (known !== undefined) return known;
      const name = made.size === 0 ? 'elsewhere' : `elsewhere-${made.size + 1}`;
      made.set(url, name);
      if (!/^https?:\/\/[^/]/.test(url) || !URL.canParse(url))
        settings.refuse(toml, 'an http or https URL to send clients to', JSON.stringify(url));
      draft.put(['fetchers', name], { type: 'upstreams', list: logins.hide(toml, url) });
      return name;
    },
  };
}

/** GoBinaryEnvVars by name; what of it says nothing to a node is noted. */
function goEnvironment(settings: AthensSettings): ReadonlyMap<string, string> {
  const written = settings.list('GoBinaryEnvVars') ?? ['GOPROXY=direct'];
  const assignments = new Map<string, string>();
  for (const assignment of written) {
    const [, name, value = ''] = /^([^=]+)=(.*)$/s.exec(assignment) ?? [];
    if (name === undefined)
      settings.refuse('GoBinaryEnvVars', 'NAME=value, each', JSON.stringify(assignment));
    else assignments.set(name.trim(), value.trim());
  }
  for (const name of assignments.keys()) {
    if (CARRIED.has(name) || (name === 'GOSUMDB' && assignments.get(name) === 'off')) continue;
    const reason = `${name} of it is not carried over: go-vcs gives its commands an environment of its own`;
    settings.note('GoBinaryEnvVars', reason);
  }
  return assignments;
}

function patternsOf(text: string): readonly string[] {
  return text
    .split(',')
    .map((pattern) => pattern.trim())
    .filter((pattern) => pattern !== '' && pattern !== 'none');
}

function draftDirect(settings: AthensSettings, draft: AthensDraft): void {
  const go = settings.text('GoBinary');
  const credentials: unknown[] = [];
  const netrc = settings.text('NETRCPath');
  const token = settings.text('GithubToken');
  if (netrc !== undefined && token !== undefined)
    settings.refuse('NETRCPath', 'one of NETRCPath and GithubToken, not both', 'both');
  if (netrc !== undefined) credentials.push({ match: '*', netrc: { file: asIs(netrc) } });
  if (token !== undefined) {
    const reference = settings.secret('GithubToken', 'ATHENS_GITHUB_TOKEN');
    credentials.push({ match: 'github.com', token: { user: GITHUB_USER, secret: reference } });
  }
  draft.put(['fetchers', DIRECT], {
    type: 'go-vcs',
    ...(go !== undefined && { go: asIs(go) }),
    concurrent: settings.number('GoGetWorkers') ?? WORKERS,
    timeout: `${settings.number('StashTimeout') ?? STASH_SECONDS}s`,
    ...(credentials.length > 0 && { credentials }),
  });
}

function noteUnused(settings: AthensSettings): void {
  const reason = 'it counts for version control, and GOPROXY does not say direct';
  for (const toml of ['GoBinary', 'NETRCPath', 'GithubToken', 'GoGetWorkers', 'StashTimeout'])
    if (settings.placeOf(toml) !== undefined) settings.note(toml, reason);
}

function checkList(settings: AthensSettings, list: string): void {
  try {
    parseGoproxyList(list);
  } catch (error) {
    settings.refuse('GoBinaryEnvVars', 'GOPROXY to be a list of URLs', messageOf(error));
  }
}

/** Users and passwords in URLs become variables: nothing secret is printed. */
class Logins {
  readonly #settings: AthensSettings;
  #count = 0;

  constructor(settings: AthensSettings) {
    this.#settings = settings;
  }

  hide(toml: string, text: string): string {
    return asIs(text).replaceAll(/(\/\/)[^/@,|]*@/g, (_, slashes: string) => {
      this.#count += 1;
      const name = this.#count === 1 ? 'UPSTREAM_LOGIN' : `UPSTREAM_LOGIN_${this.#count}`;
      this.#settings.note(toml, `the user and password in it are not copied: set ${name} to them`);
      return `${slashes}\${${name}}@`;
    });
  }
}
