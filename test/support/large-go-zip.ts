import { crc32 } from 'node:zlib';
import { buildZip } from './go-zip.ts';

/** A module's zip that is too large to lie in a test's memory: one stored file that repeats a block. */
export interface LargeGoZip {
  /** Bytes of the whole. */
  readonly size: number;
  pieces(): Generator<Buffer>;
}

const CENTRAL = Buffer.from('PK\x01\x02', 'latin1');
const OFFSET_IN_END = 16;
const END_LENGTH = 22;

/** `block` is there `times` times. */
export function largeGoZip(
  module: string,
  version: string,
  block: Buffer,
  times: number,
): LargeGoZip {
  const length = block.length * times;
  let crc = 0;
  for (let at = 0; at < times; at++) crc = crc32(block, crc);
  const facts = { crc, packed: length, size: length };
  const name = `${module}@${version}/large.bin`;
  const frame = buildZip([{ name, content: '', local: facts, central: facts }]);
  const split = frame.indexOf(CENTRAL);
  const directory = frame.subarray(split);
  directory.writeUInt32LE(split + length, directory.length - END_LENGTH + OFFSET_IN_END);
  return {
    size: frame.length + length,
    *pieces() {
      yield frame.subarray(0, split);
      for (let at = 0; at < times; at++) yield block;
      yield directory;
    },
  };
}
