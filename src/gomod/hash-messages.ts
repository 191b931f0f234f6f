import type { ModuleVersion, ZipFindings } from './zip-verdict.ts';

/** To the thread that hashes. Messages of one body come in order, bodies in any mixture. */
export interface ToHashThread {
  /** Number of the body. */
  readonly id: number;
  /** Only in the first message of a body: what it should be. */
  readonly of?: ModuleVersion | undefined;
  /** The next bytes. Absent: none with this message. */
  readonly piece?: Uint8Array | undefined;
  /** How it ends with this message. Absent: it goes on. */
  readonly end?: 'whole' | 'aborted' | undefined;
}

/** From the thread that hashes. */
export interface FromHashThread {
  readonly id: number;
  /** Bytes that it is done with since it last spoke of this body. */
  readonly taken: number;
  /** What was found; the last word on this body. Absent: it goes on. */
  readonly findings?: ZipFindings | undefined;
}
