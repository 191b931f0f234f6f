import { isReservedName } from './module-path.ts';

/** Bytes of a module's zip, and of all its files together, at most. As x/mod zip.MaxZipFile. */
export const MAX_ZIP: number = 500 * 1024 * 1024;
/** Bytes of a zip's go.mod and of its LICENSE, at most. As x/mod zip.MaxGoMod. */
export const MAX_TEXT: number = 16 * 1024 * 1024;

/** ASCII of a file's name, and letters of any script. As x/mod module.CheckFilePath. */
const NAME_CHARACTERS = /^[-0-9A-Za-z!#$%&()+,.=@[\]^_{}~ \p{L}]*$/u;
const ONLY_DOTS = /^\.+$/;
const SHOWN = 120;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A name's text from its bytes as latin1. Absent: not UTF-8. */
export function decodeName(bytes: string): string | undefined {
  // Most names are ASCII, where both are the same.
  if (/^[\0-\x7f]*$/.test(bytes)) return bytes;
  try {
    return UTF8.decode(Buffer.from(bytes, 'latin1'));
  } catch {
    return undefined;
  }
}

/** A name as a message may hold it: quoted, on one line, of bounded length. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > SHOWN ? `${name.slice(0, SHOWN)}…` : name);
}

/** Why no file of a module may have this path, in a few words. Absent: it may. As x/mod module.CheckFilePath. */
export function checkFilePath(path: string): string | undefined {
  for (const element of path.split('/')) {
    if (element === '') return 'has an empty element';
    if (ONLY_DOTS.test(element)) return 'has an element of dots';
    if (element.endsWith('.')) return 'has an element that ends in a dot';
    if (!NAME_CHARACTERS.test(element)) return 'has a character not allowed';
    if (isReservedName(element)) return 'has a name reserved on Windows';
  }
  return undefined;
}

/** Why a file of this path may not be a go.mod. Absent: it is none, or the one in the root. */
export function checkGoModPath(path: string): string | undefined {
  const base = path.slice(path.lastIndexOf('/') + 1);
  if (base.toLowerCase() !== 'go.mod') return undefined;
  if (base !== path) return 'is a go.mod below the root';
  return base === 'go.mod' ? undefined : 'is a go.mod not in lower case';
}

/** Finds paths that cannot lie beside each other on every file system. As x/mod zip. */
export class Collisions {
  readonly #seen = new Map<string, { readonly path: string; readonly isFolder: boolean }>();

  /** Why a path clashes with one added before, in a few words. Absent: it does not, and is added with its folders. */
  add(path: string, isFolder: boolean): string | undefined {
    const folded = fold(path);
    const other = this.#seen.get(folded);
    if (other === undefined) this.#seen.set(folded, { path, isFolder });
    else if (other.path !== path) return `differs only in case from ${quoteName(other.path)}`;
    else if (other.isFolder !== isFolder) return 'is both a file and a folder';
    // Folders that were there before have their parents there as well.
    else return isFolder ? undefined : 'is there twice';
    const slash = path.lastIndexOf('/');
    return slash < 0 ? undefined : this.add(path.slice(0, slash), true);
  }
}

/** Equal for texts that differ in nothing but what Unicode's simple case folding makes equal. As Go's strings.EqualFold. */
export function fold(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text.toLowerCase();
  let folded = '';
  for (const letter of text) folded += foldLetter(letter);
  return folded;
}

function foldLetter(letter: string): string {
  // The only letter whose upper case is simple and that folds to itself nevertheless.
  if (letter === 'ı') return letter;
  const upper = simple(letter.toUpperCase(), letter);
  return simple(upper.toLowerCase(), upper);
}

/** Mappings to several characters are not among the simple ones. */
function simple(mapped: string, letter: string): string {
  return mapped.length === String.fromCodePoint(mapped.codePointAt(0) ?? 0).length
    ? mapped
    : letter;
}
