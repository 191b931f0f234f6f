import { ProxyError } from '../errors.ts';
import type { ModuleVersion } from './go-mod-file.ts';
import { checkModulePath, isVersionOf } from './module-path.ts';

/** Files of one version that somebody wants. */
export interface WantedModule extends ModuleVersion {
  readonly files: readonly ('info' | 'mod' | 'zip')[];
}

/** Longest line of a list. Characters. */
const MAX_LINE = 4_096;

/**
 * Reads lines of a list one by one, in bounded memory: `module@version` or `module version` stand for all three files,
 * lines of a go.sum file for those whose hash they have. Empty lines and what follows `#` do not count. Throws `invalid` with
 * name and line for anything else.
 */
export async function* readModuleList(
  chunks: AsyncIterable<Buffer | string>,
  name: string,
): AsyncGenerator<WantedModule> {
  let line = 0;
  for await (const text of linesOf(chunks, (at) => invalid(name, at, 'a line too long'))) {
    line += 1;
    const words = (text.includes('#') ? text.replace(/(?:^|\s)#.*$/, '') : text).trim();
    if (words === '') continue;
    const wanted = parseModuleLine(words);
    if (typeof wanted === 'string') throw invalid(name, line, wanted);
    yield wanted;
  }
}

/** One line of a list; a text says in a few words why it is none. */
export function parseModuleLine(text: string): WantedModule | string {
  const words = text.split(/\s+/);
  const [first = '', second, hash] = words;
  if (words.length === 1) {
    const at = first.lastIndexOf('@');
    if (at < 0) return `expected module@version instead of ${shown(text)}`;
    return wantedOf(first.slice(0, at), first.slice(at + 1), ['info', 'mod', 'zip']);
  }
  if (words.length === 2) return wantedOf(first, second ?? '', ['info', 'mod', 'zip']);
  if (words.length > 3 || hash?.startsWith('h1:') !== true)
    return `expected module@version or a line of go.sum instead of ${shown(text)}`;
  const ofMod = second?.endsWith('/go.mod') === true;
  const version = ofMod ? second.slice(0, -'/go.mod'.length) : (second ?? '');
  return wantedOf(first, version, ofMod ? ['info', 'mod'] : ['info', 'mod', 'zip']);
}

function wantedOf(
  module: string,
  version: string,
  files: WantedModule['files'],
): WantedModule | string {
  const reason = checkModulePath(module);
  if (reason !== undefined) return `${shown(module)}: ${reason}`;
  if (isVersionOf(module, version)) return { module, version, files };
  return `${shown(version)} is not a version in full of ${module}`;
}

async function* linesOf(
  chunks: AsyncIterable<Buffer | string>,
  tooLong: (line: number) => ProxyError,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let line = 1;
  let rest = '';
  for await (const chunk of chunks) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) {
      if (text.length > MAX_LINE) throw tooLong(line);
      yield text;
      line += 1;
    }
    if (rest.length > MAX_LINE) throw tooLong(line);
  }
  if (rest !== '') yield rest;
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}

function invalid(name: string, line: number, what: string): ProxyError {
  return new ProxyError('invalid', 'module-list.read', `${name}:${line}: ${what}`);
}
