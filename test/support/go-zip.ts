import { crc32 } from 'node:zlib';

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const VERSION_NEEDED = 20;
/** Smallest date a zip can hold: 1980-01-01. */
const DATE = 0x21;

/** A module's zip as the go command takes it: every file stored, below `<module>@<version>/`. */
export function goZip(
  module: string,
  version: string,
  files: Readonly<Record<string, string | Buffer>>,
): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [path, content] of Object.entries(files)) {
    const name = Buffer.from(`${module}@${version}/${path}`);
    const bytes = Buffer.from(content);
    const facts = fileFacts(name, bytes);
    const local = Buffer.alloc(4);
    local.writeUInt32LE(LOCAL);
    parts.push(local, facts, name, bytes);
    const before = Buffer.alloc(6);
    before.writeUInt32LE(CENTRAL);
    before.writeUInt16LE(VERSION_NEEDED, 4);
    // No comment, first disk, no attributes; then where the file begins.
    const behind = Buffer.alloc(14);
    behind.writeUInt32LE(offset, 10);
    directory.push(before, facts, behind, name);
    offset += local.length + facts.length + name.length + bytes.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(END);
  end.writeUInt16LE(Object.keys(files).length, 8);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, central, end]);
}

/** What stands in both headers of a file. */
function fileFacts(name: Buffer, bytes: Buffer): Buffer {
  const facts = Buffer.alloc(26);
  facts.writeUInt16LE(VERSION_NEEDED, 0);
  facts.writeUInt16LE(DATE, 8);
  facts.writeUInt32LE(crc32(bytes), 10);
  facts.writeUInt32LE(bytes.length, 14);
  facts.writeUInt32LE(bytes.length, 18);
  facts.writeUInt16LE(name.length, 22);
  return facts;
}
