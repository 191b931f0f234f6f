import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { DirectoryEntry } from './zip-directory.ts';
import { inflateWhole } from './zip-inflate.ts';
import { DEFLATED, descriptorCrc, readLocalHeader, type SeenFile } from './zip-local.ts';
import { signatureAt, type ZipWindow } from './zip-tail.ts';

/** Bytes of content that are read again, at most, of one file and of all. */
const MAX_OUTPUT = 16 * 1024 * 1024;
const MAX_TOTAL = 64 * 1024 * 1024;

/**
 * Reads files of a zip so short that all of it is still there, exactly where and as the directory says: for those that their
 * own headers tell otherwise.
 */
export class ZipReread {
  readonly #window: ZipWindow;
  #total = 0;

  constructor(window: ZipWindow) {
    this.#window = window;
  }

  /** The file as the directory has it. Absent: it cannot be read again. */
  read(entry: DirectoryEntry): SeenFile | undefined {
    const { start, bytes } = this.#window;
    if (start > 0 || this.#total > MAX_TOTAL || entry.packed < 0) return undefined;
    if (signatureAt(bytes, entry.offset) !== 'local') return undefined;
    const header = readLocalHeader(bytes, entry.offset, entry.offset);
    if (typeof header === 'number') return undefined;
    const { data } = header.file;
    const file = { ...header.file, method: entry.method, packed: entry.packed };
    file.descriptorCrc = descriptorCrc(bytes, data + entry.packed);
    const packed = bytes.subarray(data, data + entry.packed);
    const found =
      entry.method === DEFLATED ? inflateWhole(packed, MAX_OUTPUT) : { content: packed };
    if (found === 'too large') return undefined;
    if (typeof found === 'string') return { ...file, state: found };
    const { content } = found;
    this.#total += content.length;
    return {
      ...file,
      state: 'read',
      size: content.length,
      crc: crc32(content),
      sha256: hash('sha256', content, 'hex'),
    };
  }
}
