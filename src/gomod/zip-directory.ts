import type { ZipMarks, ZipWindow } from './zip-tail.ts';

/** What a zip's directory says of one file. Sizes and offsets beyond 2⁵³ are inexact, which is far past every limit. */
export interface DirectoryEntry {
  /** The name's bytes, one character each (latin1). */
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  /** Bytes in the zip; below 0 where 63 bits do not hold it. */
  readonly packed: number;
  /** Bytes of content. */
  readonly size: number;
  /** Where the file's header stands in the zip. */
  readonly offset: number;
}

/** A directory, or why the client refuses it, or why it cannot be told. */
export type Directory =
  | { readonly entries: readonly DirectoryEntry[] }
  | { readonly problem: string }
  | { readonly unknown: string };

interface End {
  /** Where the record stands. */
  at: number;
  records: number;
  size: number;
  offset: number;
}

const END_LENGTH = 22;
const END64_LENGTH = 56;
const LOCATOR_LENGTH = 20;
const HEADER_LENGTH = 46;
const HEADER = 0x02014b50;
const END64 = 0x06064b50;
const LOCATOR = 0x07064b50;
const ZIP64_EXTRA = 1;
const MAX_32 = 0xffffffff;
const MAX_16 = 0xffff;
/** The client looks in the last 1 KiB, then in the last 65 KiB. */
const SEARCHED = [1024, 65 * 1024];

const BEFORE_WINDOW = { unknown: 'its directory lies too far from its end' };

/** Reads a zip's directory exactly as Go's archive/zip does, with its leniencies: what counts is what the client sees. */
export function readDirectory(window: ZipWindow, marks: ZipMarks): Directory {
  const end = findEnd(window);
  if (typeof end === 'string') return { problem: end };
  const wide = readEnd64(window, end);
  if (wide !== undefined) return wide;
  if (!Number.isSafeInteger(end.size) || !Number.isSafeInteger(end.offset))
    return { unknown: 'its directory is said to lie beyond what can be counted' };
  const start = end.at - end.size;
  if (start < 0 || start >= window.size) return { problem: 'its directory lies outside of it' };
  let base = start - end.offset;
  if (base > 0) {
    // Where the stated offset holds an entry as it is, what the sizes say of bytes before the zip is not believed.
    if (end.offset >= window.start) {
      if (readHeader(window, end.offset, 0) !== undefined) base = 0;
    } else if (marks.hasCentral(end.offset) !== false) return BEFORE_WINDOW;
  }
  return readEntries(window, marks, base, end);
}

function readEntries(window: ZipWindow, marks: ZipMarks, base: number, end: End): Directory {
  const entries: DirectoryEntry[] = [];
  let at = base + end.offset;
  if (at < window.start) {
    if (marks.hasCentral(at) !== false) return BEFORE_WINDOW;
  } else {
    for (let found = readHeader(window, at, base); found; found = readHeader(window, at, base)) {
      entries.push(found.entry);
      at = found.next;
    }
    if (at >= window.size) return { problem: 'its directory is cut' };
  }
  if ((entries.length & MAX_16) !== end.records % (MAX_16 + 1))
    return { problem: 'its directory has another number of files than stated' };
  return { entries };
}

/** Absent: no entry stands there, which ends the directory. */
function readHeader(
  window: ZipWindow,
  offset: number,
  base: number,
): { readonly entry: DirectoryEntry; readonly next: number } | undefined {
  const { bytes } = window;
  const at = offset - window.start;
  if (at + HEADER_LENGTH > bytes.length || bytes.readUInt32LE(at) !== HEADER) return undefined;
  const names = at + HEADER_LENGTH;
  const extras = names + bytes.readUInt16LE(at + 28);
  const comment = extras + bytes.readUInt16LE(at + 30);
  const next = comment + bytes.readUInt16LE(at + 32);
  if (next > bytes.length) return undefined;
  const sizes = {
    size: bytes.readUInt32LE(at + 24),
    packed: bytes.readUInt32LE(at + 20),
    offset: bytes.readUInt32LE(at + 42),
  };
  if (!widen(sizes, bytes.subarray(extras, comment))) return undefined;
  const entry = {
    name: bytes.toString('latin1', names, extras),
    flags: bytes.readUInt16LE(at + 8),
    method: bytes.readUInt16LE(at + 10),
    crc: bytes.readUInt32LE(at + 16),
    packed: sizes.packed,
    size: sizes.size,
    offset: sizes.offset + base,
  };
  return { entry, next: next + window.start };
}

/** Takes values that 32 bits do not hold from the extra fields. False: one that is needed is not there. */
function widen(sizes: { size: number; packed: number; offset: number }, extra: Buffer): boolean {
  const needed = (['size', 'packed', 'offset'] as const).filter((key) => sizes[key] === MAX_32);
  for (let at = 0; at + 4 <= extra.length; ) {
    const tag = extra.readUInt16LE(at);
    const field = extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2));
    if (field.length < extra.readUInt16LE(at + 2)) break;
    at += 4 + field.length;
    if (tag !== ZIP64_EXTRA) continue;
    for (let from = 0; needed.length > 0; from += 8) {
      if (from + 8 > field.length) return false;
      const key = needed.shift();
      if (key === 'size') sizes.size = Number(field.readBigUInt64LE(from));
      else if (key !== undefined) sizes[key] = Number(field.readBigInt64LE(from));
    }
  }
  // A size of 2³² − 1 may be meant.
  return needed.every((key) => key === 'size');
}

function findEnd(window: ZipWindow): End | string {
  for (const searched of SEARCHED) {
    const bytes = window.bytes.subarray(-searched);
    const at = findEndSignature(bytes);
    if (at >= 0)
      return {
        at: window.size - bytes.length + at,
        records: bytes.readUInt16LE(at + 10),
        size: bytes.readUInt32LE(at + 12),
        offset: bytes.readUInt32LE(at + 16),
      };
  }
  return 'it is no zip, or one that was cut: it has no end of a directory';
}

function findEndSignature(bytes: Buffer): number {
  if (bytes.length < END_LENGTH) return -1;
  const at = bytes.lastIndexOf('PK\x05\x06', bytes.length - END_LENGTH, 'latin1');
  if (at < 0) return -1;
  // A comment that is cut ends the search.
  return at + END_LENGTH + bytes.readUInt16LE(at + END_LENGTH - 2) > bytes.length ? -1 : at;
}

/** Replaces what stands in `end` by the 64-bit record where the client would. Given: it ends there. */
function readEnd64(window: ZipWindow, end: End): Directory | undefined {
  // The second comparison is the client's, word for word.
  if (end.records !== MAX_16 && end.size !== MAX_16 && end.offset !== MAX_32) return undefined;
  const { bytes, start } = window;
  const locator = end.at - LOCATOR_LENGTH - start;
  if (locator < 0 || bytes.readUInt32LE(locator) !== LOCATOR) return undefined;
  if (bytes.readUInt32LE(locator + 4) !== 0 || bytes.readUInt32LE(locator + 16) !== 1)
    return undefined;
  const at = Number(bytes.readBigInt64LE(locator + 8));
  if (at < 0) return undefined;
  if (at < start) return BEFORE_WINDOW;
  const from = at - start;
  if (from + END64_LENGTH > bytes.length || bytes.readUInt32LE(from) !== END64)
    return { problem: 'it has no 64-bit end of a directory where it is said to be' };
  end.at = at;
  end.records = Number(bytes.readBigUInt64LE(from + 32) & 0xffffn);
  end.size = Number(bytes.readBigUInt64LE(from + 40));
  end.offset = Number(bytes.readBigUInt64LE(from + 48));
  return undefined;
}
