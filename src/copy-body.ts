import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { BLOCK_SIZE, type Body, type CallOptions, type OpenOptions } from './body.ts';
import { ProxyError } from './errors.ts';
import type { SpoolFile, SpoolFolder } from './stashers/spool-folder.ts';
import type { Incoming, Saver, Sealed } from './storage/backend.ts';
import { blocksOfStream, type Digest, digestOf, impliedBlocks } from './storage/digest.ts';

/** A body that lies somewhere whole. */
export interface WholeBody {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** From byte 0. Read to its end or destroyed. */
  readonly body: Body;
}

/** How often room in a full spool is asked for again. */
const ROOM_MS = 50;

/**
 * Puts a whole body into a store: up to one block through memory, a larger one through a spool file, which waits until there is
 * room. Throws `integrity` for bytes that are not those of the digest, before the store sees any; what reading or putting throws.
 */
export async function copyBody(
  { digest, size, body }: WholeBody,
  to: Saver,
  spool: SpoolFolder,
  options: CallOptions = {},
): Promise<void> {
  try {
    if (size <= BLOCK_SIZE) await to.put(inMemory(digest, size, await read(body, size)), options);
    else await throughFile({ digest, size, body }, to, spool, options);
  } finally {
    body.destroy();
  }
}

async function read(body: Body, size: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > size) break;
    // What is read may lie in a buffer that is lent out again.
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces);
}

function inMemory(digest: Digest, size: number, bytes: Buffer): Incoming {
  if (bytes.length !== size || digestOf(bytes) !== digest) throw otherBytes(digest);
  const blocks = impliedBlocks(digest, size) ?? Buffer.alloc(0);
  return {
    sealed: Promise.resolve({ digest, size, blocks }),
    expectedSize: size,
    bytes,
    open: ({ range }: OpenOptions = {}) =>
      readableOf(range === undefined ? bytes : bytes.subarray(range.start, range.end + 1)),
  };
}

async function throughFile(
  { digest, size, body }: WholeBody,
  to: Saver,
  spool: SpoolFolder,
  options: CallOptions,
): Promise<void> {
  await waitForRoom(spool, size, options);
  try {
    const file = await spool.create();
    try {
      const found = await written(body, file, size);
      if (found.size !== size || found.digest !== digest) throw otherBytes(digest);
      await to.put(inFile(found, file.path), options);
    } finally {
      // Gone already where the store took it.
      await spool.remove(file.path);
    }
  } finally {
    spool.release(size);
  }
}

async function written(body: Body, { handle }: SpoolFile, size: number): Promise<Sealed> {
  const pieces = async function* (): AsyncGenerator<Buffer> {
    let length = 0;
    for await (const piece of body as AsyncIterable<Buffer>) {
      length += piece.length;
      // More than was announced is not written, so that the room that was taken is enough.
      if (length > size) {
        yield piece;
        return;
      }
      await handle.appendFile(piece);
      yield piece;
    }
  };
  try {
    return await blocksOfStream(pieces());
  } finally {
    await handle.close();
  }
}

function inFile(sealed: Sealed, path: string): Incoming {
  return {
    sealed: Promise.resolve(sealed),
    expectedSize: sealed.size,
    open: ({ range, signal }: OpenOptions = {}) =>
      createReadStream(path, { ...range, signal, highWaterMark: BLOCK_SIZE }),
    takeFile: async () => await Promise.resolve(path),
  };
}

async function waitForRoom(
  spool: SpoolFolder,
  size: number,
  { signal }: CallOptions,
): Promise<void> {
  while (!spool.reserve(size)) {
    if (spool.used === 0)
      throw new ProxyError(
        'unavailable',
        'copy-body.spool',
        `a body of ${size} bytes does not fit into the spool: raise spool.maxBytes`,
      );
    await sleep(ROOM_MS, undefined, { signal });
  }
}

function readableOf(bytes: Buffer): Body {
  return Readable.from([bytes], { objectMode: false });
}

function otherBytes(digest: Digest): ProxyError {
  return new ProxyError('integrity', 'copy-body.read', `other bytes came than those of ${digest}`);
}
