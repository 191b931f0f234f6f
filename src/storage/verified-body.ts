import { addAbortSignal, Readable } from 'node:stream';
import { BLOCK_SIZE, type Body, type ByteRange, type OpenOptions } from '../body.ts';
import { kindOf, ProxyError } from '../errors.ts';
import type { Opened, Stat } from './backend.ts';
import { lendBlock } from './block-pool.ts';
import { isBlockIntact } from './digest.ts';

/** Where the blocks of one kept body come from. Asked for ascending blocks, one at a time. */
export interface BlockSource {
  /** Block `index`, `length` bytes long. Throws `integrity` where it is not there or not whole. */
  read(index: number, length: number): Promise<Buffer>;
  /** Gives back what the source holds; a read under way may fail then. */
  close(): Promise<void>;
}

/** A kept body to be read with checks. */
export interface KeptBody extends Stat {
  /** 32 bytes for each block. */
  readonly blocks: Buffer;
  readonly source: BlockSource;
  /** False: blocks are handed out as they come. */
  readonly verify: boolean;
  /** Called once, when the body is found damaged; what it does is waited for before anybody learns of it. Never rejects. */
  damaged(error: unknown): Promise<void>;
}

/** Throws `range` when the range does not lie inside a body of `size` bytes. */
export function checkRange(range: ByteRange | undefined, size: number): void {
  if (range === undefined) return;
  if (range.start >= 0 && range.start <= range.end && range.end < size) return;
  const asked = `${range.start}-${range.end}`;
  throw new ProxyError('range', 'verified-body.open', `bytes ${asked} of a body of ${size}`);
}

/** Throws `aborted` (or what the signal carries) when the caller is gone. */
export function checkSignal(signal: AbortSignal | undefined, op: string): void {
  if (signal?.aborted !== true) return;
  throw new ProxyError(
    kindOf(signal.reason) === 'timeout' ? 'timeout' : 'aborted',
    op,
    'the caller gave up',
    {
      cause: signal.reason,
    },
  );
}

/** An open body whose bytes lie in memory, verified; `body` is made only if asked for. */
export function openedBytes(stat: Stat, bytes: Buffer): Opened {
  const { digest, size, modifiedAt } = stat;
  let body: Body | undefined;
  return {
    digest,
    size,
    modifiedAt,
    bytes,
    get body(): Body {
      body ??= readableOf(bytes);
      return body;
    },
  };
}

/**
 * Opens a body of which every block is checked before it is handed out, the first one before this resolves.
 * Absent: the first block is damaged; `damaged` was called. A later one makes the stream fail with `integrity`.
 * Throws `range`, and what the source throws but `integrity`.
 */
export async function openVerified(
  kept: KeptBody,
  options: OpenOptions = {},
): Promise<Opened | undefined> {
  const { source, size } = kept;
  let opened = false;
  try {
    checkRange(options.range, size);
    if (size === 0) return openedBytes(kept, Buffer.alloc(0));
    const reader = new BlockReader(kept, options.range ?? { start: 0, end: size - 1 });
    const first = await firstBlock(kept, reader);
    if (first === undefined) return undefined;
    if (reader.isDone) return openedBytes(kept, first);
    const body = streamOf(kept, reader, first);
    if (options.signal !== undefined) addAbortSignal(options.signal, body);
    opened = true;
    const { digest, modifiedAt, blocks } = kept;
    return { digest, size, modifiedAt, blocks, body };
  } finally {
    if (!opened) await source.close();
  }
}

async function firstBlock(kept: KeptBody, reader: BlockReader): Promise<Buffer | undefined> {
  try {
    return await reader.take();
  } catch (error) {
    if (kindOf(error) !== 'integrity') throw error;
    await kept.damaged(error);
    return undefined;
  }
}

function streamOf(kept: KeptBody, reader: BlockReader, first: Buffer): Body {
  let held: Buffer | undefined = first;
  reader.readAhead();
  const next = async (body: Readable): Promise<void> => {
    try {
      const block = held ?? (await reader.take());
      held = undefined;
      if (body.destroyed) return;
      const isLast = reader.isDone;
      if (!isLast) reader.readAhead();
      lendBlock(block);
      body.push(block);
      if (isLast) body.push(null);
    } catch (error) {
      if (body.destroyed) return;
      // Whoever sees it fail may ask again at once, and must not meet the same damage.
      if (kindOf(error) === 'integrity') await kept.damaged(error);
      body.destroy(error as Error);
    }
  };
  return new Readable({
    highWaterMark: BLOCK_SIZE,
    read() {
      void next(this);
    },
    destroy(error, callback) {
      kept.source.close().then(
        () => callback(error),
        () => callback(error),
      );
    },
  });
}

/** Blocks of a range, checked and cut to it, with one read ahead. */
class BlockReader {
  readonly #kept: KeptBody;
  readonly #range: ByteRange;
  readonly #last: number;
  #index: number;
  #ahead: Promise<Buffer> | undefined;

  constructor(kept: KeptBody, range: ByteRange) {
    this.#kept = kept;
    this.#range = range;
    this.#index = Math.floor(range.start / BLOCK_SIZE);
    this.#last = Math.floor(range.end / BLOCK_SIZE);
  }

  /** Whether the last block was taken. */
  get isDone(): boolean {
    return this.#index > this.#last;
  }

  /** Begins to read the next block before it is taken. */
  readAhead(): void {
    if (this.isDone || this.#ahead !== undefined) return;
    this.#ahead = this.#read();
    // Whoever takes the block sees the failure; if nobody does, it is no one's.
    this.#ahead.catch(() => undefined);
  }

  async take(): Promise<Buffer> {
    const block = await (this.#ahead ?? this.#read());
    this.#ahead = undefined;
    const index = this.#index++;
    const { blocks, verify, digest } = this.#kept;
    if (verify && !isBlockIntact(block, blocks, index)) {
      throw new ProxyError(
        'integrity',
        'verified-body.read',
        `block ${index} of ${digest} is damaged`,
      );
    }
    const offset = index * BLOCK_SIZE;
    const start = Math.max(this.#range.start - offset, 0);
    const end = Math.min(this.#range.end - offset + 1, block.length);
    return start === 0 && end === block.length ? block : block.subarray(start, end);
  }

  #read(): Promise<Buffer> {
    const offset = this.#index * BLOCK_SIZE;
    return this.#kept.source.read(this.#index, Math.min(BLOCK_SIZE, this.#kept.size - offset));
  }
}

function readableOf(bytes: Buffer): Body {
  return new Readable({
    read() {
      if (bytes.length > 0) this.push(bytes);
      this.push(null);
    },
  });
}
