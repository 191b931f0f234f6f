import type { Body, CallOptions, OpenOptions } from '../body.ts';
import type { Digest } from './digest.ts';

/** What is known of a kept body. */
export interface Stat {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
}

/** A body found to be whole: its name, its length, and what each of its blocks must hash to. */
export interface Sealed {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** 32 bytes of SHA-256 for each block of `BLOCK_SIZE`, in order; empty for an empty body. */
  readonly blocks: Buffer;
}

/** A kept body, open for reading. Wrong bytes never leave it: a block is checked before it is handed out. */
export interface Opened extends Stat {
  /** The bytes asked for. Errors with `integrity` where they do not match their digest. */
  readonly body: Body;
  /** The same bytes at once, where they already lie in memory and are verified; then `body` need not be read. */
  readonly bytes?: Buffer | undefined;
  /** Digests of all its blocks, as in `Sealed`, where they are at hand. */
  readonly blocks?: Buffer | undefined;
}

/** A body on its way into a backend, which may still be growing. */
export interface Incoming {
  /** Resolves when the body is whole and verified; rejects when it was cut: then nothing of it may stay. */
  readonly sealed: Promise<Sealed>;
  /** Bytes that were announced. Absent: not known before the end. */
  readonly expectedSize?: number | undefined;
  /** Bytes that have come so far. Absent: not told. */
  readonly received?: number | undefined;
  /** Asks that the body be not written to the disk before this settles, where that can wait. Absent: it cannot. */
  waitForRoom?(room: Promise<unknown>): void;
  /** The whole body, where it is small enough to lie in memory; known once `sealed` resolved. */
  readonly bytes?: Buffer | undefined;
  /** The body from byte 0, as it grows. Errors when the body is cut. */
  open(options?: OpenOptions): Body;
  /**
   * Hands the finished spool file over to be renamed into place, once `sealed` resolved. Absent: there is none,
   * or it is not to be had; then `open` is read. A file that was handed over belongs to the caller.
   */
  takeFile?(): Promise<string | undefined>;
}

export interface Getter {
  /** Absent: not kept here. */
  stat(digest: Digest, options?: CallOptions): Promise<Stat | undefined>;
  /**
   * Absent: not kept here, or found damaged before the first byte (it is then removed and counted, so that a refill heals it).
   * Throws `range` when the range lies outside the body, `unavailable` when the store cannot be asked.
   */
  open(digest: Digest, options?: OpenOptions): Promise<Opened | undefined>;
}

export interface Saver {
  /**
   * All or nothing: resolves when the body is durable under its digest; putting it twice is harmless.
   * Nothing is visible before `incoming.sealed` resolved, nothing stays if it rejects or the call is aborted.
   * Throws `unavailable` when the store is full or refuses, `too-large` when its quota has no room for this body.
   */
  put(incoming: Incoming, options?: CallOptions): Promise<Stat>;
}

export interface Lister {
  /** In order of digest, after `after`; paged inside, never loaded whole. */
  list(after?: Digest, options?: CallOptions): AsyncIterable<Stat>;
}

/** How a body is removed. */
export interface DeleteOptions extends CallOptions {
  /** Asked at the last moment; true: the body stays. Absent: it goes. */
  readonly unless?: (() => Promise<boolean>) | undefined;
}

export interface Deleter {
  /** False: it was not there, or stays. Readers that have it open finish. */
  delete(digest: Digest, options?: DeleteOptions): Promise<boolean>;
}

/** What a start or a janitor may ask of a backend that can leave things behind. */
export interface Recoverer {
  /** Removes temporary files, staging keys and open uploads of processes that are gone, never a live one's. Gives how many. */
  recover(options?: CallOptions): Promise<number>;
  /** The files and uploads among it, without touching them. Absent: they cannot be told beforehand. */
  leftovers?(options?: CallOptions): AsyncIterable<Leftover>;
}

/** Something half-written that a process left when it died. */
export interface Leftover {
  /** As a person finds it, such as a path or key. */
  readonly name: string;
  /** Bytes; 0 where they are not known. */
  readonly size: number;
}

/** How a body is read for upkeep. */
export interface ScrubOptions extends CallOptions {
  /** Waited for before each read, given its bytes, so that reading keeps within a rate. Absent: at once. */
  readonly pace?: ((bytes: number) => Promise<void>) | undefined;
}

/** What upkeep found of a body. `missing`: it was kept and what should hold it is gone; `absent`: it is not, or no longer, kept here. */
export type ScrubVerdict = 'whole' | 'damaged' | 'missing' | 'absent';

/** What a backend offers that looks after its bodies itself. */
export interface Scrubbable {
  /**
   * Reads a body to its end against its digest, whatever `verify` says, and without that counting as a use. A damaged one is put
   * aside, counted and logged as when a client meets it, so that a refill heals it; so is a missing one, of which there is nothing
   * to put aside. Throws `unavailable` where the store cannot be asked.
   */
  scrub(digest: Digest, options?: ScrubOptions): Promise<ScrubVerdict>;
  /** Bodies that this node put aside because they are damaged, and that are never served; `modifiedAt` is when. */
  quarantined(options?: CallOptions): AsyncIterable<Stat>;
  /** Removes one of those for good. False: it was not there. */
  release(digest: Digest, options?: CallOptions): Promise<boolean>;
}

/** What a backend can tell that several nodes with manifests of their own may share. */
export interface Shared {
  /** Only what this node put there: the rest may be named by another's manifest. In order of digest. */
  listOwn(options?: CallOptions): AsyncIterable<Stat>;
}

/** What a backend that evicts offers those who still need its bodies. */
export interface Evicting {
  /** A body stays for as long as `isNeeded` says so; it is asked at the last moment, and must be quick. */
  spare(isNeeded: (digest: Digest) => boolean): void;
}

/** A backend that keeps nothing itself: its bodies lie in others, which have names of their own and are looked after by them. */
export interface Composed {
  /** The nearest first. */
  readonly tiers: readonly Backend[];
}

/** Whether the backend can be used now. Absent `problem`: it can. */
export interface Health {
  readonly problem?: string | undefined;
}

/** Bodies by SHA-256 on one kind of place. After Athens' storage.Backend, keyed by content. */
export interface Backend extends Getter, Saver, Lister, Deleter, AsyncDisposable {
  /** As named in the configuration. */
  readonly name: string;
  /** What readyz says of it. Never throws, takes at most a second. */
  health(options?: CallOptions): Promise<Health>;
}

/** Whether a backend may hold what other nodes put there. */
export function isShared(backend: object): backend is Shared {
  return 'listOwn' in backend && typeof backend.listOwn === 'function';
}

/** Whether what a backend tells of is told by others as well. */
export function isComposed(backend: object): backend is Composed {
  return 'tiers' in backend && Array.isArray(backend.tiers);
}

/** Whether a backend evicts by itself. */
export function isEvicting(backend: object): backend is Evicting {
  return 'spare' in backend && typeof backend.spare === 'function';
}

/** Whether a backend leaves things behind that `recover` would remove. */
export function isRecoverer(backend: object): backend is Recoverer {
  return 'recover' in backend && typeof backend.recover === 'function';
}

/** Whether a backend looks after its bodies itself; one that is made of others leaves it to them. */
export function isScrubbable(backend: object): backend is Scrubbable {
  return 'scrub' in backend && typeof backend.scrub === 'function';
}
