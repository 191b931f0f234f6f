import { ProxyError } from '../errors.ts';
import { checkModulePath } from './module-path.ts';
import { canonicalVersion } from './version.ts';

/** A module at one version, both unescaped. */
export interface ModuleVersion {
  readonly module: string;
  readonly version: string;
}

/** What stands in for a module. */
export interface Replacement {
  readonly module: string;
  /** Absent: every version of it. */
  readonly version?: string | undefined;
  /** Another module, or a folder as written. */
  readonly by: ModuleVersion | { readonly folder: string };
}

/** What a go.mod file says about other modules (https://go.dev/ref/mod#go-mod-file). */
export interface GoModFile {
  /** Absent: it names no module. */
  readonly module?: string | undefined;
  /** As in `go 1.24.1`. Absent: no such line. */
  readonly go?: string | undefined;
  /** In order, as written; a module may stand there twice. */
  readonly requires: readonly ModuleVersion[];
  readonly replaces: readonly Replacement[];
  readonly excludes: readonly ModuleVersion[];
  /** Folders of `use` lines, which only a go.work file has. */
  readonly uses: readonly string[];
}

/** A line of a go.mod file as words, its verb first. */
interface Statement {
  readonly line: number;
  readonly verb: string;
  readonly words: readonly string[];
}

/** How strictly a file is read. */
export interface GoModOptions {
  /** What messages call the file. */
  readonly name: string;
  /** True: a dependency's file, of which only the requirements count; what else is odd in it is passed over. Absent: false. */
  readonly dependency?: boolean | undefined;
}

/** Since this version of the language a go.mod file names every module that its packages need. */
const PRUNED_SINCE = 17;
const ALONE = /^[()]$/;

/**
 * Reads a go.mod or go.work file. Directives that say nothing about other modules are passed over, as are those that are not
 * known. Throws `invalid` with file and line for what cannot be read.
 */
export function parseGoMod(text: string, options: GoModOptions): GoModFile {
  let module: string | undefined;
  let go: string | undefined;
  const requires: ModuleVersion[] = [];
  const replaces: Replacement[] = [];
  const excludes: ModuleVersion[] = [];
  const uses: string[] = [];
  for (const { line, verb, words } of statementsOf(text, options.name)) {
    const fail = (what: string): never => {
      throw invalid(options.name, line, what);
    };
    if (verb === 'module') module ??= words[0];
    else if (verb === 'go') go ??= words[0];
    else if (verb === 'require') requires.push(readVersion(words, fail));
    else if (options.dependency === true) continue;
    else if (verb === 'exclude') excludes.push(readVersion(words, fail));
    else if (verb === 'replace') replaces.push(readReplacement(words, fail));
    else if (verb === 'use') uses.push(words[0] ?? fail('expected a folder'));
  }
  return { module, go, requires, replaces, excludes, uses };
}

/** True: the file names every module that its packages need, so that the go command reads no others (graph pruning). */
export function isPruned({ go }: Pick<GoModFile, 'go'>): boolean {
  const [, major = '0', minor = '0'] = /^(\d{1,6})(?:\.(\d{1,6}))?/.exec(go ?? '') ?? [];
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= PRUNED_SINCE);
}

function* statementsOf(text: string, name: string): Generator<Statement> {
  let block: string | undefined;
  let line = 0;
  for (const raw of text.split('\n')) {
    line += 1;
    const words = wordsOf(raw, () => invalid(name, line, 'a quote that does not end'));
    const [first, ...rest] = words;
    if (first === undefined) continue;
    if (block !== undefined) {
      if (first === ')') block = undefined;
      else yield { line, verb: block, words };
    } else if (rest.length === 1 && rest[0] === '(') block = first;
    else if (ALONE.test(first)) throw invalid(name, line, `unexpected ${first}`);
    else yield { line, verb: first, words: rest };
  }
  if (block !== undefined) throw invalid(name, line, `the ${block} block does not end`);
}

/** Words of a line without its comment; quotes of both kinds taken off. */
function wordsOf(line: string, unended: () => ProxyError): string[] {
  const words: string[] = [];
  let at = 0;
  while (at < line.length) {
    const char = line[at] ?? '';
    if (/\s/.test(char)) at += 1;
    else if (line.startsWith('//', at)) break;
    else if (char === '(' || char === ')') {
      words.push(char);
      at += 1;
    } else if (char === '"' || char === '`') {
      const end = line.indexOf(char, at + 1);
      if (end < 0) throw unended();
      words.push(line.slice(at + 1, end));
      at = end + 1;
    } else {
      const end = at + (/[\s()]|\/\//.exec(line.slice(at))?.index ?? line.length - at);
      words.push(line.slice(at, end));
      at = end;
    }
  }
  return words;
}

function readVersion(words: readonly string[], fail: (what: string) => never): ModuleVersion {
  const [module = '', version = '', ...more] = words;
  if (more.length > 0 || version === '') return fail('expected a module and its version');
  const reason = checkModulePath(module);
  if (reason !== undefined) return fail(`${JSON.stringify(module)}: ${reason}`);
  return { module, version: readCanonical(version, fail) };
}

function readReplacement(words: readonly string[], fail: (what: string) => never): Replacement {
  const arrow = words.indexOf('=>');
  const [module = '', version, ...before] = words.slice(0, Math.max(0, arrow));
  const [by = '', byVersion, ...behind] = words.slice(arrow + 1);
  if (module === '' || by === '' || before.length > 0 || behind.length > 0)
    return fail('expected MODULE [VERSION] => MODULE VERSION, or => FOLDER');
  const from = { module, ...(version !== undefined && { version: readCanonical(version, fail) }) };
  if (byVersion !== undefined) return { ...from, by: readVersion([by, byVersion], fail) };
  if (!/^(?:\.{1,2}(?:[/\\]|$)|\/)/.test(by)) return fail(`${JSON.stringify(by)} has no version`);
  return { ...from, by: { folder: by } };
}

function readCanonical(version: string, fail: (what: string) => never): string {
  const canonical = canonicalVersion(version);
  // What is not in full is a query, which a go command would have resolved when it last wrote the file.
  if (canonical !== undefined && /^v\d+\.\d+\.\d+/.test(version)) return canonical;
  return fail(`${JSON.stringify(version)} is not a version in full, such as v1.2.3`);
}

function invalid(name: string, line: number, what: string): ProxyError {
  return new ProxyError('invalid', 'go-mod-file.parse', `${name}:${line}: ${what}`);
}
