import type { Readable } from 'node:stream';

/** Bytes on their way, never object mode. Whoever holds one reads it to its end or destroys it. */
export type Body = Readable;

/** Last argument of every call that may take long. */
export interface CallOptions {
  /** Absent: the call ends only by itself. */
  readonly signal?: AbortSignal | undefined;
}

/** Bytes `start` to `end`, both included, as in RFC 9110 §14.1.2. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Options of a read. */
export interface OpenOptions extends CallOptions {
  /** Absent: the whole body. Must lie inside the body. */
  readonly range?: ByteRange | undefined;
}

/** Size in bytes of the blocks that carry their own SHA-256. */
export const BLOCK_SIZE: number = 1024 * 1024;
