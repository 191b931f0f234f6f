import { createReadStream, existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { codeOf, ProxyError } from '../errors.ts';
import type { PopulateGraph } from '../go-schemas.ts';
import {
  type GoModFile,
  isPruned,
  type ModuleVersion,
  parseGoMod,
  type Replacement,
} from '../gomod/go-mod-file.ts';
import { parseModuleLine, readModuleList, type WantedModule } from '../gomod/module-list.ts';
import { checkModulePath } from '../gomod/module-path.ts';

/** One call's worth of what somebody wants. */
export interface Wanted {
  readonly modules: readonly WantedModule[];
  readonly graph?: PopulateGraph | undefined;
}

/** Modules in one call: its input has to fit into the socket's limit. */
const BATCH = 1_000;
/** Largest go.mod file that the go command reads. Bytes. */
const MAX_FILE = 16 * 1024 * 1024;
const STDIN = '-';

/**
 * What arguments of a command name, in order, in pieces of bounded size: `module@version`, a go.mod or go.work file, a go.sum
 * file or another list of modules, `-` for a list on standard input. Throws `invalid` with file and line.
 */
export async function* wantedBy(words: readonly string[]): AsyncGenerator<Wanted> {
  // Before anything is done: a word that is mistyped is to be seen at once.
  for (const word of words) await checkWord(word);
  let named: WantedModule[] = [];
  for (const word of words) {
    const wanted = isVersion(word) ? parseModuleLine(word) : undefined;
    if (typeof wanted === 'object') named.push(wanted);
    else if (word.endsWith('.mod')) yield { modules: [], graph: await readMain([word]) };
    else if (word.endsWith('.work')) yield { modules: [], graph: await readWorkspace(word) };
    else yield* batched(word);
    if (named.length === BATCH) {
      yield { modules: named };
      named = [];
    }
  }
  if (named.length > 0) yield { modules: named };
}

async function checkWord(word: string): Promise<void> {
  if (word === STDIN) return;
  if (isVersion(word)) {
    const wanted = parseModuleLine(word);
    if (typeof wanted === 'string') throw invalid(wanted);
    return;
  }
  try {
    if ((await stat(word)).isDirectory())
      throw invalid(`${word} is a folder: name a go.mod, go.sum or go.work file in it`);
  } catch (error) {
    throw unreadable(word, error);
  }
}

function isVersion(word: string): boolean {
  return word.includes('@') && !existsSync(word);
}

async function* batched(file: string): AsyncGenerator<Wanted> {
  const stream = file === STDIN ? process.stdin : createReadStream(file);
  let modules: WantedModule[] = [];
  try {
    for await (const wanted of readModuleList(stream, file === STDIN ? 'standard input' : file)) {
      if (modules.push(wanted) < BATCH) continue;
      yield { modules };
      modules = [];
    }
  } catch (error) {
    throw unreadable(file, error);
  } finally {
    stream.destroy();
  }
  if (modules.length > 0) yield { modules };
}

async function readWorkspace(path: string): Promise<PopulateGraph> {
  const work = parseGoMod(await readText(path), { name: path });
  const folders = work.uses.map((use) => join(resolve(dirname(path), use), 'go.mod'));
  return await readMain(folders, work.replaces);
}

// What is built together shares one graph, in which none of the modules themselves is fetched.
async function readMain(
  paths: readonly string[],
  more: readonly Replacement[] = [],
): Promise<PopulateGraph> {
  const files: { readonly path: string; readonly file: GoModFile }[] = [];
  for (const path of paths)
    files.push({ path, file: parseGoMod(await readText(path), { name: path }) });
  const own = files.flatMap(({ path, file: { module } }): Replacement[] =>
    module === undefined ? [] : [{ module, by: { folder: dirname(path) } }],
  );
  const also: ModuleVersion[] = [];
  for (const { path, file } of files) also.push(...(await requiredByFolders(path, file)));
  return {
    pruned: files.every(({ file }) => isPruned(file)),
    roots: files.flatMap(({ file }) => file.requires),
    also,
    replaces: [...own, ...more, ...files.flatMap(({ file }) => file.replaces)],
    excludes: files.flatMap(({ file }) => file.excludes),
  };
}

async function requiredByFolders(main: string, file: GoModFile): Promise<ModuleVersion[]> {
  const required: ModuleVersion[] = [];
  for (const { by } of file.replaces) {
    if (!('folder' in by)) continue;
    const path = join(resolve(dirname(main), by.folder), 'go.mod');
    // A folder without one requires nothing.
    if (!existsSync(path)) continue;
    required.push(...parseGoMod(await readText(path), { name: path, dependency: true }).requires);
  }
  return required;
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE) throw invalid(`${path} has more than ${MAX_FILE} bytes`);
    return await readFile(path, 'utf8');
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): unknown {
  const code = codeOf(error);
  if (error instanceof ProxyError || code === undefined) return error;
  const what = code === 'ENOENT' ? `there is no file ${path}` : `cannot read ${path}: ${code}`;
  const hint = checkModulePath(path) === undefined ? `; for a module say ${path}@VERSION` : '';
  return invalid(`${what}${code === 'ENOENT' ? hint : ''}`);
}

function invalid(what: string): ProxyError {
  return new ProxyError('invalid', 'module-sources.read', what);
}
