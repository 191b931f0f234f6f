import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { type Fcntl, systemFcntl } from './fcntl.ts';
import { LockError } from './lock-error.ts';

/** The byte of `<database>-lock` that LiteFS takes as its HALT lock. */
export const HALT_BYTE: number = 72;

// fcntl(2), <fcntl.h> of Linux.
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_WRLCK = 1;
const F_UNLCK = 2;

const FILE_MODE = 0o640;
/** Size of `struct flock` on 64-bit Linux: type @0, whence @2, start @8, length @16, pid @24. */
const FLOCK_BYTES = 32;
/** An interrupted call is made again; one that is interrupted this often in a row is broken. */
const MAX_INTERRUPTS = 1000;

/** How a lock is opened. */
export interface OfdLockOptions {
  /** First byte; one byte is locked. Absent: 72, LiteFS' HALT byte. */
  readonly byte?: number | undefined;
  /** Absent: that of the C library. */
  readonly fcntl?: Fcntl | undefined;
}

/**
 * An open-file-description write lock on one byte of a file, never waited for. Synchronous. At most one open file holds
 * it at a time, on the whole machine; it goes when this is closed or the process dies. The file is made if missing and
 * never deleted. Linux only. Throws `LockError`, and the file system's own errors at opening.
 */
export class OfdLock implements Disposable {
  readonly path: string;
  readonly #byte: number;
  readonly #fcntl: Fcntl;
  #fd: number | undefined;

  constructor(path: string, options: OfdLockOptions = {}) {
    if (process.platform !== 'linux') {
      throw new LockError(
        constants.errno.ENOTSUP,
        path,
        `locks between processes need Linux, this is ${process.platform}`,
      );
    }
    this.path = path;
    this.#byte = options.byte ?? HALT_BYTE;
    this.#fcntl = options.fcntl ?? systemFcntl;
    this.#fd = openSync(path, 'a+', FILE_MODE);
  }

  /** True: it is ours now (or was already). False: another open file holds it. */
  tryLock(): boolean {
    const errno = this.#call(F_OFD_SETLK, this.#flock(F_WRLCK));
    if (errno === constants.errno.EAGAIN || errno === constants.errno.EACCES) return false;
    this.#check(errno, 'cannot be locked');
    return true;
  }

  /** Gives it back; harmless when it is not held. */
  unlock(): void {
    this.#check(this.#call(F_OFD_SETLK, this.#flock(F_UNLCK)), 'cannot be unlocked');
  }

  /** Whether another open file holds it now. */
  isHeldElsewhere(): boolean {
    const lock = this.#flock(F_WRLCK);
    this.#check(this.#call(F_OFD_GETLK, lock), 'cannot be asked for its lock');
    return lock[0] !== F_UNLCK;
  }

  /** Gives it back and closes the file; a second call does nothing. */
  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** As 16-bit numbers, so that the first element is the type on either byte order. */
  #flock(type: number): Int16Array {
    const bytes = new ArrayBuffer(FLOCK_BYTES);
    const lock = new Int16Array(bytes);
    lock[0] = type;
    lock[1] = 0; // SEEK_SET
    const long = new BigInt64Array(bytes);
    long[1] = BigInt(this.#byte);
    long[2] = 1n;
    return lock;
  }

  #call(command: number, lock: Int16Array): number {
    if (this.#fd === undefined) return constants.errno.EBADF;
    const bytes = new Uint8Array(lock.buffer);
    let errno = 0;
    for (let i = 0; i < MAX_INTERRUPTS; i++) {
      errno = this.#fcntl(this.#fd, command, bytes);
      if (errno !== constants.errno.EINTR) break;
    }
    return errno;
  }

  #check(errno: number, what: string): void {
    if (errno !== 0) throw new LockError(errno, this.path, what);
  }
}
