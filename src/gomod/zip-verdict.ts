import { hash } from 'node:crypto';
import { dirHash, type FileHash } from './dirhash.ts';
import type { DirectoryEntry } from './zip-directory.ts';
import { DEFLATED, type SeenFile, STORED } from './zip-local.ts';
import { ZipReread } from './zip-reread.ts';
import {
  Collisions,
  checkFilePath,
  checkGoModPath,
  decodeName,
  MAX_TEXT,
  MAX_ZIP,
  quoteName,
} from './zip-rules.ts';
import type { ZipMarks, ZipWindow } from './zip-tail.ts';

/** A version of a module, both unescaped. */
export interface ModuleVersion {
  readonly module: string;
  readonly version: string;
}

/** What was found in a module's zip. */
export interface ZipFindings {
  /** Its `h1:` as go.sum holds it. Absent: it could not be computed. */
  readonly h1?: string | undefined;
  /** Why the go command refuses the zip, in a short sentence. Absent: nothing says that it would. */
  readonly problem?: string | undefined;
  /** Why neither could be told, in a short sentence. Absent: one of them is given. */
  readonly unknown?: string | undefined;
}

/** What the bytes of a zip showed besides its directory. */
export interface ZipContents {
  readonly files: ReadonlyMap<number, SeenFile>;
  readonly marks: ZipMarks;
  /** The end of the zip. */
  readonly window: ZipWindow;
}

type Content =
  | { readonly sha256: string }
  | { readonly problem: string }
  | { readonly unknown: string };

const HAS_DESCRIPTOR = 8;
const HEADER_LENGTH = 30;
const SHORTEST_DESCRIPTOR = 12;
const EMPTY: string = hash('sha256', '', 'hex');

/** Joins a directory with what was read: what the go command takes from such a zip, or why it takes nothing. */
export function judgeZip(
  { module, version }: ModuleVersion,
  entries: readonly DirectoryEntry[],
  contents: ZipContents,
): ZipFindings {
  let problem = checkNames(`${module}@${version}/`, entries);
  let unknown: string | undefined;
  const files: FileHash[] = [];
  const reread = new ZipReread(contents.window);
  for (const entry of entries) {
    const content = judgeEntry(entry, contents, reread);
    if ('sha256' in content) files.push({ name: entry.name, sha256: content.sha256 });
    else if ('problem' in content) problem ??= `file ${quoteName(entry.name)} ${content.problem}`;
    else unknown ??= `file ${quoteName(entry.name)} ${content.unknown}`;
  }
  const h1 = files.length === entries.length ? dirHash(files) : undefined;
  if (problem !== undefined) return { h1, problem };
  return h1 === undefined ? { unknown } : { h1 };
}

/** The rules of names and stated sizes, as x/mod zip checks them before it unpacks anything. */
function checkNames(prefix: string, entries: readonly DirectoryEntry[]): string | undefined {
  const collisions = new Collisions();
  let total = 0;
  for (const { name, size } of entries) {
    if (!name.startsWith(prefix)) return `file ${quoteName(name)} is not below ${prefix}`;
    const bytes = name.slice(prefix.length);
    if (bytes === '') continue;
    const isFolder = bytes.endsWith('/');
    const path = decodeName(isFolder ? bytes.slice(0, -1) : bytes);
    if (path === undefined) return `file ${quoteName(name)} has a name that is not UTF-8`;
    const reason =
      checkFilePath(path) ??
      collisions.add(path, isFolder) ??
      (isFolder ? undefined : checkFile(path, size));
    if (reason !== undefined) return `file ${quoteName(path)} ${reason}`;
    if (!isFolder) total += size;
    if (total > MAX_ZIP) return `its files are larger than ${MAX_ZIP} bytes together`;
  }
  return undefined;
}

function checkFile(path: string, size: number): string | undefined {
  const isLimited = path === 'go.mod' || path === 'LICENSE';
  return (
    checkGoModPath(path) ??
    (isLimited && size > MAX_TEXT ? `is larger than ${MAX_TEXT} bytes` : undefined)
  );
}

/** What the client gets when it opens the file that an entry points to. As Go's archive/zip. */
function judgeEntry(entry: DirectoryEntry, contents: ZipContents, reread: ZipReread): Content {
  const content = judgeContent(entry, contents.files.get(entry.offset), contents);
  if (!('unknown' in content)) return content;
  const again = reread.read(entry);
  return again === undefined ? content : judgeContent(entry, again, contents);
}

function judgeContent(
  entry: DirectoryEntry,
  seen: SeenFile | undefined,
  { marks, window: { size } }: ZipContents,
): Content {
  const { offset } = entry;
  if (seen === undefined) {
    const isThere = offset < 0 || offset + HEADER_LENGTH > size ? false : marks.hasLocal(offset);
    if (isThere === false) return { problem: 'has no header where the directory points' };
    return { unknown: 'was not met where the directory points' };
  }
  if (entry.name.endsWith('/'))
    return entry.size > 0 ? { problem: 'is a folder with content' } : { sha256: EMPTY };
  if (entry.method !== DEFLATED && entry.method !== STORED)
    return { problem: 'is packed by a method that the go command does not know' };
  return (
    (entry.method === DEFLATED
      ? judgeDeflated(entry, seen)
      : judgeStored(entry, seen, size - seen.data)) ??
    judgeCrc(entry, seen, size) ?? { sha256: seen.sha256 }
  );
}

function judgeDeflated(entry: DirectoryEntry, seen: SeenFile): Content | undefined {
  if (seen.method !== DEFLATED) return { unknown: 'is packed otherwise by its own header' };
  if (seen.state === 'too large' && entry.size >= seen.size)
    return { unknown: 'lies behind too much content' };
  if (seen.state === 'corrupt' || seen.state === 'cut' || entry.packed < seen.packed)
    return { problem: 'is corrupt: its content cannot be unpacked' };
  return entry.size === seen.size ? undefined : { problem: 'has another size than stated' };
}

/** `left`: bytes from the content's beginning to the end of the zip. */
function judgeStored(entry: DirectoryEntry, seen: SeenFile, left: number): Content | undefined {
  if (Math.min(Math.max(entry.packed, 0), Math.max(left, 0)) !== entry.size)
    return { problem: 'has another size than stated' };
  if (seen.method !== STORED) return { unknown: 'is packed otherwise by its own header' };
  if (seen.state !== 'read' || seen.size !== entry.size)
    return { unknown: 'has another size by its own header' };
  return undefined;
}

function judgeCrc(entry: DirectoryEntry, seen: SeenFile, size: number): Content | undefined {
  const isDescribed = (entry.flags & HAS_DESCRIPTOR) !== 0;
  // Without a descriptor the client takes a zero for "not set".
  if ((isDescribed || entry.crc !== 0) && entry.crc !== seen.crc)
    return { problem: 'has another CRC than stated' };
  if (!isDescribed) return undefined;
  if (seen.data + entry.packed + SHORTEST_DESCRIPTOR > size)
    return { problem: 'is cut before its descriptor' };
  if (entry.packed !== seen.packed || seen.descriptorCrc === undefined)
    return { unknown: 'has its descriptor elsewhere' };
  return seen.descriptorCrc === entry.crc ? undefined : { problem: 'has another CRC than stated' };
}
