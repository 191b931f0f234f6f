import { crc32, deflateRawSync } from 'node:zlib';

/** How a zip's file is told to end when its header does not say it: with or without a signature, sizes of 32 or 64 bits. */
export type ZipDescriptor = 'signed' | 'bare' | 'signed64' | 'bare64';

/** What a header says of a file. */
export interface ZipFacts {
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  /** Bytes in the zip. */
  readonly packed: number;
  readonly size: number;
}

/** One file of a zip that a test makes up. */
export interface ZipEntry {
  /** In full, with the module and version. */
  readonly name: string | Buffer;
  readonly content: string | Buffer;
  /** Absent: stored. */
  readonly deflate?: boolean | undefined;
  /** Absent: the header says the sizes. */
  readonly descriptor?: ZipDescriptor | undefined;
  /** True: sizes stand in 64-bit extra fields of both headers. */
  readonly zip64?: boolean | undefined;
  /** Unix mode, such as 0o120777 for a symbolic link. Absent: none. */
  readonly mode?: number | undefined;
  /** What the file's own header says instead. */
  readonly local?: Partial<ZipFacts> | undefined;
  /** What the directory says instead. */
  readonly central?: Partial<ZipFacts & { readonly offset: number }> | undefined;
  /** Bytes in the zip instead of the packed content. */
  readonly raw?: Buffer | undefined;
  /** Name in the file's own header. Absent: the same. */
  readonly localName?: string | undefined;
  /** True: only the directory has it; `central.offset` says where it lies. */
  readonly isAlias?: boolean | undefined;
}

/** The frame of a zip that a test makes up. */
export interface ZipFrame {
  /** Bytes before the first file, which offsets do not count. */
  readonly before?: Buffer | undefined;
  /** Bytes between the last file and the directory. */
  readonly gap?: Buffer | undefined;
  readonly comment?: Buffer | undefined;
  /** Bytes behind the zip. */
  readonly after?: Buffer | undefined;
  /** True: the end is also written in 64-bit form. Absent: where the count needs it. */
  readonly zip64?: boolean | undefined;
  /** Files that the end counts instead. */
  readonly count?: number | undefined;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const DESCRIPTOR = 0x08074b50;
const VERSION_NEEDED = 20;
/** Unix made it, so that modes count. */
const MADE_BY = 0x0314;
/** Smallest date a zip can hold: 1980-01-01. */
const DATE = 0x21;
const HAS_DESCRIPTOR = 8;
const DEFLATED = 8;
const MAX_32 = 0xffffffff;
const MAX_16 = 0xffff;

/** A module's zip as the go command takes it: every file stored, below `<module>@<version>/`. */
export function goZip(
  module: string,
  version: string,
  files: Readonly<Record<string, string | Buffer>>,
): Buffer {
  const entries = Object.entries(files).map(([path, content]) => ({
    name: `${module}@${version}/${path}`,
    content,
  }));
  return buildZip(entries);
}

/** A zip of exactly these files, right or wrong in any detail. */
export function buildZip(entries: readonly ZipEntry[], frame: ZipFrame = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  let next = 0;
  for (const entry of entries) {
    const content = Buffer.from(entry.content);
    const raw = entry.raw ?? (entry.deflate === true ? deflateRawSync(content) : content);
    const facts = {
      flags: entry.descriptor === undefined ? 0 : HAS_DESCRIPTOR,
      method: entry.deflate === true ? DEFLATED : 0,
      crc: crc32(content),
      packed: raw.length,
      size: content.length,
    };
    if (entry.isAlias !== true) {
      const unsaid = entry.descriptor === undefined ? {} : { crc: 0, packed: 0, size: 0 };
      const local = { ...facts, ...unsaid, ...entry.local };
      const pieces = [localHeader(entry, local), raw, descriptor(entry.descriptor, facts)];
      parts.push(...pieces);
      next += pieces.reduce((sum, { length }) => sum + length, 0);
    }
    directory.push(centralHeader(entry, { ...facts, offset, ...entry.central }));
    offset = next;
  }
  return Buffer.concat([
    frame.before ?? Buffer.alloc(0),
    ...parts,
    frame.gap ?? Buffer.alloc(0),
    ...directory,
    endOf(directory, offset + (frame.gap?.length ?? 0), frame),
  ]);
}

function localHeader(entry: ZipEntry, facts: ZipFacts): Buffer {
  const name = Buffer.from(entry.localName ?? entry.name);
  const isWide = entry.zip64 === true && entry.descriptor === undefined;
  const extra = isWide ? wideExtra(facts.size, facts.packed) : Buffer.alloc(0);
  const header = Buffer.alloc(4);
  header.writeUInt32LE(LOCAL);
  return Buffer.concat([header, sharedFacts(facts, name, extra, isWide), name, extra]);
}

function centralHeader(entry: ZipEntry, facts: ZipFacts & { readonly offset: number }): Buffer {
  const name = Buffer.from(entry.name);
  const isWide = entry.zip64 === true;
  const extra = isWide ? wideExtra(facts.size, facts.packed, facts.offset) : Buffer.alloc(0);
  const before = Buffer.alloc(6);
  before.writeUInt32LE(CENTRAL);
  before.writeUInt16LE(MADE_BY, 4);
  // No comment, first disk; then attributes and where the file begins.
  const behind = Buffer.alloc(14);
  behind.writeUInt32LE(((entry.mode ?? 0) << 16) >>> 0, 6);
  behind.writeUInt32LE(isWide ? MAX_32 : facts.offset, 10);
  return Buffer.concat([before, sharedFacts(facts, name, extra, isWide), behind, name, extra]);
}

/** What stands in both headers of a file. */
function sharedFacts(facts: ZipFacts, name: Buffer, extra: Buffer, isWide: boolean): Buffer {
  const bytes = Buffer.alloc(26);
  bytes.writeUInt16LE(VERSION_NEEDED, 0);
  bytes.writeUInt16LE(facts.flags, 2);
  bytes.writeUInt16LE(facts.method, 4);
  bytes.writeUInt16LE(DATE, 8);
  bytes.writeUInt32LE(facts.crc, 10);
  bytes.writeUInt32LE(isWide ? MAX_32 : facts.packed, 14);
  bytes.writeUInt32LE(isWide ? MAX_32 : facts.size, 18);
  bytes.writeUInt16LE(name.length, 22);
  bytes.writeUInt16LE(extra.length, 24);
  return bytes;
}

function wideExtra(...values: readonly number[]): Buffer {
  const extra = Buffer.alloc(4 + 8 * values.length);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, i) => {
    extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  });
  return extra;
}

function descriptor(kind: ZipDescriptor | undefined, facts: ZipFacts): Buffer {
  if (kind === undefined) return Buffer.alloc(0);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(DESCRIPTOR);
  head.writeUInt32LE(facts.crc, 4);
  const isWide = kind.endsWith('64');
  const sizes = Buffer.alloc(isWide ? 16 : 8);
  [facts.packed, facts.size].forEach((value, i) => {
    if (isWide) sizes.writeBigUInt64LE(BigInt(value), 8 * i);
    else sizes.writeUInt32LE(value, 4 * i);
  });
  return Buffer.concat([kind.startsWith('bare') ? head.subarray(4) : head, sizes]);
}

function endOf(directory: readonly Buffer[], offset: number, frame: ZipFrame): Buffer {
  const count = frame.count ?? directory.length;
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const comment = frame.comment ?? Buffer.alloc(0);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(END);
  end.writeUInt16LE(Math.min(count, MAX_16), 8);
  end.writeUInt16LE(Math.min(count, MAX_16), 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(frame.zip64 === true ? MAX_32 : offset, 16);
  end.writeUInt16LE(comment.length, 20);
  const isWide = frame.zip64 === true || count >= MAX_16;
  const wide = isWide ? wideEnd(count, size, offset, frame.before?.length ?? 0) : Buffer.alloc(0);
  return Buffer.concat([wide, end, comment, frame.after ?? Buffer.alloc(0)]);
}

/** The 64-bit end and the locator that points to it. */
function wideEnd(count: number, size: number, offset: number, before: number): Buffer {
  const bytes = Buffer.alloc(56 + 20);
  bytes.writeUInt32LE(0x06064b50, 0);
  bytes.writeBigUInt64LE(44n, 4);
  bytes.writeUInt16LE(45, 12);
  bytes.writeUInt16LE(45, 14);
  bytes.writeBigUInt64LE(BigInt(count), 24);
  bytes.writeBigUInt64LE(BigInt(count), 32);
  bytes.writeBigUInt64LE(BigInt(size), 40);
  bytes.writeBigUInt64LE(BigInt(offset), 48);
  bytes.writeUInt32LE(0x07064b50, 56);
  bytes.writeBigUInt64LE(BigInt(before + offset + size), 64);
  bytes.writeUInt32LE(1, 72);
  return bytes;
}
