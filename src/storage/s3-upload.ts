import { createHash } from 'node:crypto';
import type { ByteRange, CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Sealed } from './backend.ts';
import type { S3Objects } from './s3-objects.ts';
import type { S3Part, S3Uploads } from './s3-uploads.ts';

const MIB = 1024 * 1024;
/** Bodies up to this size are written by one call; it is also the size of the first parts. */
export const PART_SIZE: number = 8 * MIB;
/** From this part on they are larger, so that 10,000 parts (the most that S3 takes) hold 350 GiB. */
const GROWN_FROM = 5000;
const GROWN_PART_SIZE = 64 * MIB;
const MAX_PARTS = 10_000;
/** Parts on their way at once; with the one being filled it bounds the memory of an upload. */
const PARALLEL = 2;
/** Copies on the server at once, of one body. */
const PARALLEL_COPIES = 4;

/** What was uploaded. */
export interface Uploaded {
  readonly parts: readonly S3Part[];
  /** Bytes. */
  readonly size: number;
  /** SHA-256 in hex. */
  readonly digest: string;
}

/** Reads a body piece by piece of a wanted size. */
export class PieceReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(body: AsyncIterable<Buffer>) {
    this.#chunks = body[Symbol.asyncIterator]();
  }

  /** The next bytes, as many as `into` takes; fewer only at the end, none after it. They lie in it until it is used again. */
  async fill(into: Buffer): Promise<Buffer> {
    let length = 0;
    while (length < into.length) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) break;
        this.#rest = next.value;
      }
      const copied = this.#rest.copy(into, length);
      this.#rest = this.#rest.subarray(copied);
      length += copied;
    }
    return into.subarray(0, length);
  }

  /** The next `size` bytes; fewer only at the end, none after it. */
  async next(size: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let length = 0;
    while (length < size) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) break;
        this.#rest = next.value;
      }
      const taken = this.#rest.subarray(0, size - length);
      this.#rest = this.#rest.subarray(taken.length);
      chunks.push(taken);
      length += taken.length;
    }
    return Buffer.concat(chunks, length);
  }
}

/** Sends a body as the parts of an upload, while it arrives: what was `read` already, then what `pieces` gives. */
export async function uploadParts(
  uploads: S3Uploads,
  to: { readonly key: string; readonly id: string },
  read: readonly Buffer[],
  pieces: PieceReader,
  { signal }: CallOptions,
): Promise<Uploaded> {
  const parts: S3Part[] = [];
  const hash = createHash('sha256');
  const underway = new Set<Promise<void>>();
  // One part that fails ends the others too.
  const stop = new AbortController();
  const options = {
    signal: signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]),
  };
  // Parts are filled into the same few buffers again and again: fresh ones would outrun the garbage collector.
  const spare: Buffer[] = [];
  const next = async (number: number): Promise<Buffer> => {
    const known = read[number - 1];
    if (known !== undefined) return known;
    const length = number < GROWN_FROM ? PART_SIZE : GROWN_PART_SIZE;
    const buffer = spare.pop();
    return await pieces.fill(buffer?.length === length ? buffer : Buffer.allocUnsafeSlow(length));
  };
  let size = 0;
  try {
    for (let number = 1; ; number++) {
      const piece = await next(number);
      if (piece.length === 0) break;
      if (number > MAX_PARTS)
        throw new ProxyError('too-large', 's3-upload.parts', `more than ${MAX_PARTS} parts`);
      hash.update(piece);
      size += piece.length;
      const sent = uploads.send(to.key, to.id, number, piece, options).then((part) => {
        parts[number - 1] = part;
        underway.delete(sent);
        if (spare.length < PARALLEL) spare.push(piece);
      });
      underway.add(sent);
      sent.catch(() => undefined);
      if (underway.size >= PARALLEL) await Promise.race(underway);
    }
    await Promise.all(underway);
    return { parts, size, digest: hash.digest('hex') };
  } catch (error) {
    stop.abort();
    await Promise.allSettled(underway);
    throw error;
  }
}

/** A copy of a body within the bucket. */
export interface S3Copy {
  readonly from: string;
  readonly to: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes that one call may copy. */
  readonly limit: number;
  /** Set before and removed after a copy in parts. */
  readonly mark: string;
}

/** Copies an object to a body's key on the server, in ranges of at most `limit` bytes if it is larger than that. */
export async function copyObject(
  objects: S3Objects,
  uploads: S3Uploads,
  { from, to, size, limit, mark }: S3Copy,
  { signal }: CallOptions,
): Promise<void> {
  if (size <= limit) return await objects.copy(from, to, { signal });
  await objects.put(mark, Buffer.alloc(0), false, { signal });
  const id = await uploads.begin(to, { signal }, true).catch(async (error: unknown) => {
    await objects.deleteStaged(mark).catch(() => undefined);
    throw error;
  });
  const stop = new AbortController();
  const options = {
    signal: signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]),
  };
  try {
    const parts: S3Part[] = [];
    const ranges = rangesOf(size, limit).entries();
    const lane = async (): Promise<void> => {
      for (const [index, range] of ranges)
        parts[index] = await uploads.copyPart(from, range, to, id, index + 1, options);
    };
    const lanes = Array.from({ length: PARALLEL_COPIES }, lane);
    try {
      await Promise.all(lanes);
    } finally {
      stop.abort();
      await Promise.allSettled(lanes);
    }
    await uploads.complete(to, id, parts, { signal });
  } catch (error) {
    // While the mark stands, a janitor knows that the upload is nobody's once this process is gone.
    await uploads
      .abort(to, id)
      .then(async () => await objects.deleteStaged(mark))
      .catch(() => undefined);
    throw error;
  }
  await objects.deleteStaged(mark).catch(() => undefined);
}

// Only the last may be a small one: stores refuse others.
function rangesOf(size: number, limit: number): ByteRange[] {
  return Array.from({ length: Math.ceil(size / limit) }, (_, index) => ({
    start: index * limit,
    end: Math.min((index + 1) * limit, size) - 1,
  }));
}

/** Throws `integrity` when what came has not the size and digest that were sealed. */
export function checkContent(sealed: Sealed, size: number, digest: string): void {
  if (size === sealed.size && digest === sealed.digest) return;
  throw new ProxyError(
    'integrity',
    's3-backend.put',
    `${sealed.digest}: other bytes came than were sealed`,
  );
}
