import { signatureAt } from './zip-tail.ts';

/** What became of reading a file's content. Anything but `read` leaves its hash out. */
export type ReadState = 'pending' | 'read' | 'corrupt' | 'too large' | 'cut' | 'unsupported';

/** A file as its own header and content showed it. */
export interface SeenFile {
  /** Where its header stands in the zip. */
  readonly offset: number;
  /** Where its content begins. */
  readonly data: number;
  readonly method: number;
  /** Whether a descriptor is said to follow the content. */
  readonly isDescribed: boolean;
  /** Bytes in the zip, and of content, as its header says. Absent: it does not say. */
  readonly packedHint?: number | undefined;
  readonly sizeHint?: number | undefined;
  state: ReadState;
  /** Bytes in the zip. */
  packed: number;
  /** Bytes of content, so far where it was not read to its end. */
  size: number;
  crc: number;
  /** In hex; '' unless it was read to its end. */
  sha256: string;
  /** The CRC in a descriptor right behind the content, if there is one. Absent: too few bytes follow. */
  descriptorCrc?: number | undefined;
}

/** A descriptor that was found: where it begins, its length and the CRC it holds. */
export interface Descriptor {
  readonly at: number;
  readonly length: number;
  readonly crc: number;
}

const HEADER_LENGTH = 30;
const HAS_DESCRIPTOR = 8;
const ZIP64_EXTRA = 1;
const MAX_32 = 0xffffffff;
const DESCRIPTOR = 0x08074b50;
/** Bytes of a descriptor: with and without a signature, with sizes of 32 and of 64 bits. */
const DESCRIPTOR_LENGTHS = [16, 12, 24, 20];

/** How a file is packed: the two methods that the go command knows. */
export const STORED = 0;
export const DEFLATED = 8;

/** Bytes of the longest descriptor. */
export const MAX_DESCRIPTOR = 24;

/** Reads the header of a file that begins at `at`; a number: that many bytes are needed. */
export function readLocalHeader(
  bytes: Buffer,
  at: number,
  offset: number,
): { readonly file: SeenFile; readonly length: number } | number {
  if (bytes.length - at < HEADER_LENGTH) return HEADER_LENGTH;
  const names = bytes.readUInt16LE(at + 26);
  const length = HEADER_LENGTH + names + bytes.readUInt16LE(at + 28);
  if (bytes.length - at < length) return length;
  const isDescribed = (bytes.readUInt16LE(at + 6) & HAS_DESCRIPTOR) !== 0;
  const extra = bytes.subarray(at + HEADER_LENGTH + names, at + length);
  const packed = bytes.readUInt32LE(at + 18);
  const size = bytes.readUInt32LE(at + 22);
  const wide = packed === MAX_32 ? widePacked(extra, size === MAX_32) : packed;
  // Zero with a descriptor to come means that it is not known yet.
  const isKnown = !isDescribed || packed > 0;
  const file: SeenFile = {
    offset,
    data: offset + length,
    method: bytes.readUInt16LE(at + 8),
    isDescribed,
    packedHint: isKnown && !(isDescribed && wide === 0) ? wide : undefined,
    sizeHint: isKnown && size !== MAX_32 ? size : undefined,
    state: 'pending',
    packed: 0,
    size: 0,
    crc: 0,
    sha256: '',
  };
  return { file, length };
}

/** The CRC that the client would take from a descriptor at this place. Absent: too few bytes. */
export function descriptorCrc(bytes: Buffer, at: number): number | undefined {
  if (at + 8 > bytes.length) return undefined;
  return bytes.readUInt32LE(bytes.readUInt32LE(at) === DESCRIPTOR ? at + 4 : at);
}

/** Length of the descriptor at `at` that fits the content and has a header behind it. 0: there is none. */
export function descriptorLength(bytes: Buffer, at: number, file: SeenFile): number {
  for (const length of DESCRIPTOR_LENGTHS) {
    if (signatureAt(bytes, at + length) === undefined) continue;
    if (readDescriptor(bytes, at, length)?.crc === file.crc) return length;
  }
  return 0;
}

/** The descriptors that end at `end` and whose sizes are those of stored content that began at `data`; both within `bytes`. */
export function descriptorsBefore(bytes: Buffer, end: number, data: number): Descriptor[] {
  const found: Descriptor[] = [];
  for (const length of DESCRIPTOR_LENGTHS) {
    const at = end - length;
    const size = at - data;
    if (at < 0 || size < 0) continue;
    const read = readDescriptor(bytes, at, length);
    if (read !== undefined && read.packed === size && read.size === size)
      found.push({ at, length, crc: read.crc });
  }
  return found;
}

function readDescriptor(
  bytes: Buffer,
  at: number,
  length: number,
): { readonly crc: number; readonly packed: number; readonly size: number } | undefined {
  const isSigned = length % 8 === 0;
  if (isSigned && bytes.readUInt32LE(at) !== DESCRIPTOR) return undefined;
  const from = isSigned ? at + 4 : at;
  const crc = bytes.readUInt32LE(from);
  if (length < 20) {
    return { crc, packed: bytes.readUInt32LE(from + 4), size: bytes.readUInt32LE(from + 8) };
  }
  return {
    crc,
    packed: Number(bytes.readBigUInt64LE(from + 4)),
    size: Number(bytes.readBigUInt64LE(from + 12)),
  };
}

/** The packed size in a header's 64-bit field. Absent: there is none. */
function widePacked(extra: Buffer, hasSize: boolean): number | undefined {
  for (let at = 0; at + 4 <= extra.length; ) {
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === ZIP64_EXTRA) {
      const from = at + 4 + (hasSize ? 8 : 0);
      return from + 8 <= Math.min(end, extra.length)
        ? Number(extra.readBigUInt64LE(from))
        : undefined;
    }
    at = end;
  }
  return undefined;
}
