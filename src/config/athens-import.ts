import { codeOf, messageOf } from '../errors.ts';
import {
  ATHENS_MODES,
  type AthensDownloadFile,
  AthensFileError,
  parseDownloadFile,
} from './athens-download-mode.ts';
import { AthensDraft, asIs } from './athens-draft.ts';
import { type AthensFilter, parseAthensFilter } from './athens-filter.ts';
import { type ModuleEntry, mergeModules } from './athens-modules.ts';
import { draftNode } from './athens-node.ts';
import { type AthensNote, AthensSettings, type AthensSources } from './athens-settings.ts';
import { type AthensFetchers, draftFetchers } from './athens-sources.ts';
import { draftStorage } from './athens-storage.ts';
import { checkedPatterns, sumsOf } from './athens-sums.ts';

/** What an import reads. */
export interface AthensImportOptions extends AthensSources {
  /** Text of a file that a setting names: the filter, the download modes. Rejects as `readFile` does. */
  readonly readFile: (path: string) => Promise<string>;
  /** What `go env GOSUMDB` says. Absent: nothing. */
  readonly sumdb: () => Promise<string | undefined>;
}

/** A configuration made from settings of Athens. */
export interface AthensImport {
  /** Commented YAML that `loadConfig` takes once the variables that it refers to are set. */
  readonly yaml: string;
  /** What was set and is not in it, or means something else. */
  readonly notes: readonly AthensNote[];
}

const HEAD = `A node that does what Athens was set to do, from: caje config import-athens
Lines that begin with "partly" say where it differs. Check it with: caje config check`;
const RULE = 'go';
const MODE_CHOICES = [...ATHENS_MODES, 'file:PATH', 'custom:BASE64'].join(', ');

/** Translates the settings of Athens. Throws `ConfigError` with everything that Athens would refuse. */
export async function importAthens(options: AthensImportOptions): Promise<AthensImport> {
  const settings = new AthensSettings(options);
  const draft = new AthensDraft();
  draftNode(settings, draft);
  draftStorage(settings, draft);
  const fetchers = draftFetchers(settings, draft);
  await draftRule(settings, draft, fetchers, options);
  settings.settle();
  return { yaml: draft.print(HEAD), notes: settings.notes };
}

async function draftRule(
  settings: AthensSettings,
  draft: AthensDraft,
  fetchers: AthensFetchers,
  options: AthensImportOptions,
): Promise<void> {
  const download = await downloadFile(settings, options);
  const filter = await filterFile(settings, options);
  const placed = (part: { readonly mode: string; readonly url?: string | undefined }) =>
    placeOf(part.mode, part.url ?? download.url, settings, fetchers);
  const network = settings.choice('NetworkMode', ['strict', 'fallback', 'offline']) ?? 'strict';
  const prefix = pathPrefix(settings);
  const top = placed(download);
  const partly: [string, string][] = [];
  const difference = differenceOf(download.mode, fetchers);
  if (difference !== undefined) partly.push(['mode', difference]);

  const offline = network === 'offline' || !fetchers.online;
  if (network === 'offline' && download.mode !== 'none') {
    const text = 'Athens asked nobody for lists alone; here nothing is fetched at all';
    partly.push(['network', text]);
    settings.note('NetworkMode', text);
  }
  const { modules, notes } = modulesOf(settings, fetchers, filter, download, placed);
  partly.push(...notes.map((text): [string, string] => ['modules', text]));
  const validator = settings.text('ValidatorHook');
  if (validator !== undefined) partly.push(['validator', 'verdicts are kept for some minutes']);
  const sums = await sumsOf(settings, fetchers, options.sumdb);
  partly.push(...sums.partly);

  const rule = {
    name: RULE,
    path: prefix === '' ? '/*' : `${asIs(prefix)}/*`,
    ...(prefix !== '' && { strip: true }),
    protocol: 'go',
    fetch: top.fetch ?? fetchers.main,
    ...(download.mode !== 'sync' && { mode: download.mode }),
    ...(offline ? { network: 'offline' } : network === 'fallback' && { network }),
    ...(validator !== undefined && { validator: { url: asIs(validator), onError: 'deny' } }),
    ...sums.keys,
    ...(modules.length > 0 && { modules }),
  };
  draft.put(['rules'], [rule]);
  for (const [key, text] of partly) draft.partly(['rules', 0, key], text);
}

/** What a mode of the whole rule does otherwise than in Athens. */
function differenceOf(mode: string, { onlyDirect }: AthensFetchers): string | undefined {
  if (mode === 'none') return 'lists are not fetched either';
  if (mode === 'redirect') return 'lists are sent there too';
  return mode === 'async_redirect' && !onlyDirect
    ? 'lists, and what is fetched behind, come from the address of the redirect'
    : undefined;
}

/** What a mode means in a rule or an entry. */
function placeOf(
  mode: string,
  url: string | undefined,
  settings: AthensSettings,
  fetchers: AthensFetchers,
): Pick<ModuleEntry, 'mode' | 'fetch'> {
  if (mode !== 'redirect' && mode !== 'async_redirect') return { mode };
  if (url === undefined) {
    settings.refuse('DownloadURL', `an http or https URL, for the mode ${mode}`);
    return { mode };
  }
  const elsewhere = fetchers.upstream('DownloadURL', url);
  // Version control has no address to send clients to: that of the next in the chain is taken.
  return { mode, fetch: fetchers.onlyDirect ? [fetchers.main, elsewhere] : [elsewhere] };
}

function modulesOf(
  settings: AthensSettings,
  fetchers: AthensFetchers,
  filter: AthensFilter,
  download: AthensDownloadFile,
  placed: (part: AthensDownloadFile['blocks'][number]) => Pick<ModuleEntry, 'mode' | 'fetch'>,
): { readonly modules: readonly ModuleEntry[]; readonly notes: readonly string[] } {
  // An entry takes from the rule what it does not say itself.
  const topRedirects = download.mode.endsWith('redirect');
  const main = topRedirects ? { fetch: [fetchers.main] } : {};
  const blocks = download.blocks.map((block) => {
    checkedPatterns(settings, 'DownloadMode', [block.pattern]);
    return { match: asIs(block.pattern), ...main, ...placed(block) };
  });
  const patterns = checkedPatterns(settings, 'GoBinaryEnvVars', fetchers.direct);
  const direct = {
    patterns,
    otherwise: topRedirects ? [] : patterns,
    entry: fetchers.onlyDirect
      ? { private: true as const }
      : { fetch: ['git'], private: true as const },
  };
  const sends = filter.rules.some(({ sign }) => sign === 'D');
  const endpoint = settings.text('GlobalEndpoint');
  if (!sends && endpoint !== undefined)
    settings.note('GlobalEndpoint', 'it counts only for lines of FilterFile that begin with D');
  if (sends && endpoint === undefined)
    settings.refuse('GlobalEndpoint', 'an http or https URL, for lines of FilterFile with D');
  const elsewhere =
    sends && endpoint !== undefined
      ? { mode: 'redirect', fetch: [fetchers.upstream('GlobalEndpoint', endpoint)] }
      : {};
  const { entries, unclear } = mergeModules({ filter: filter.rules, blocks, direct, elsewhere });
  const notes: string[] = [];
  if (sends) notes.push('what is kept already is answered by the node, not sent elsewhere');
  if (filter.compares) notes.push('ranges of versions take pre-releases in, as Athens did not');
  if (filter.rules.some(({ sign, versions }) => sign !== '+' && versions !== undefined))
    notes.push('lists of which some versions are refused are answered, as Athens did not');
  for (const [left, right] of unclear)
    notes.push(`modules that both ${left} and ${right} take follow the first entry that fits`);
  for (const { line, qualifier } of filter.useless)
    settings.note('FilterFile', `line ${line}: ${JSON.stringify(qualifier)} fits no version`);
  return { modules: entries, notes };
}

async function downloadFile(
  settings: AthensSettings,
  options: AthensImportOptions,
): Promise<AthensDownloadFile> {
  const written = settings.text('DownloadMode') ?? 'sync';
  const url = settings.text('DownloadURL');
  const none: AthensDownloadFile = { mode: 'sync', blocks: [] };
  const [, kind, rest = ''] = /^(file|custom):(.*)$/s.exec(written) ?? [];
  if (kind === undefined) {
    const mode = ATHENS_MODES.find((known) => known === written);
    if (mode === undefined) settings.refuse('DownloadMode', `one of ${MODE_CHOICES}`);
    return { ...none, mode: mode ?? 'sync', url };
  }
  if (url !== undefined)
    settings.note('DownloadURL', 'the file of DownloadMode has an address of its own');
  const text =
    kind === 'file'
      ? await fileText(settings, 'DownloadMode', rest, options)
      : Buffer.from(rest, 'base64').toString('utf8');
  const name = kind === 'file' ? rest : (settings.placeOf('DownloadMode') ?? '');
  return text === undefined ? none : readIn(settings, name, none, () => parseDownloadFile(text));
}

async function filterFile(
  settings: AthensSettings,
  options: AthensImportOptions,
): Promise<AthensFilter> {
  const none: AthensFilter = { rules: [], compares: false, useless: [] };
  const path = settings.text('FilterFile');
  if (path === undefined) return none;
  const text = await fileText(settings, 'FilterFile', path, options);
  return text === undefined ? none : readIn(settings, path, none, () => parseAthensFilter(text));
}

async function fileText(
  settings: AthensSettings,
  toml: string,
  path: string,
  { readFile }: AthensImportOptions,
): Promise<string | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    const why = codeOf(error) ?? messageOf(error);
    settings.refuse(toml, 'a file that can be read', `${path} (${why})`);
    return undefined;
  }
}

function readIn<Value>(
  settings: AthensSettings,
  file: string,
  otherwise: Value,
  read: () => Value,
): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof AthensFileError)) throw error;
    settings.refuseIn(file, error.line, error.expected, error.found);
    return otherwise;
  }
}

function pathPrefix(settings: AthensSettings): string {
  const prefix = (settings.text('PathPrefix') ?? '').replace(/\/+$/, '');
  if (prefix !== '' && !/^\/[^*?#\s\\]*$/.test(prefix))
    settings.refuse('PathPrefix', 'a path such as /modules');
  return prefix;
}
