import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { type Fcntl, systemFcntl } from './fcntl.ts';
import {
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_UNLCK,
  F_WRLCK,
  flock,
  HALT_BYTE,
  LOCK_FILE_MODE,
} from './flock.ts';
import { lockError } from './lock-error.ts';
import { assertPlatform } from './platform.ts';

/** An interrupted call is made again; one that is interrupted this often in a row is broken. */
const MAX_INTERRUPTS = 1000;

/** How a lock is opened. */
export interface OfdLockOptions {
  /** First byte; one byte is locked. Absent: 72, LiteFS' HALT byte. */
  readonly byte?: number | undefined;
  /** False: the file must be there, and `ENOENT` is thrown where it is not. Absent: it is made. */
  readonly create?: boolean | undefined;
  /** Absent: that of the C library. */
  readonly fcntl?: Fcntl | undefined;
}

/**
 * An open-file-description write lock on one byte of a file, never waited for. Synchronous. At most one open file holds
 * it at a time, on the whole machine; it goes when this is closed or the process dies. The file is made if missing and
 * never deleted. 64-bit Linux only. Throws `LockError`, and the file system's own errors at opening.
 */
export class OfdLock implements Disposable {
  readonly path: string;
  readonly #byte: number;
  readonly #fcntl: Fcntl;
  #fd: number | undefined;

  constructor(path: string, options: OfdLockOptions = {}) {
    assertPlatform(path);
    this.path = path;
    this.#byte = options.byte ?? HALT_BYTE;
    this.#fcntl = options.fcntl ?? systemFcntl;
    this.#fd = openSync(path, options.create === false ? 'r+' : 'a+', LOCK_FILE_MODE);
  }

  /** True: it is ours now (or was already). False: another open file holds it. */
  tryLock(): boolean {
    const errno = this.#call(F_OFD_SETLK, flock(F_WRLCK, this.#byte));
    if (errno === constants.errno.EAGAIN || errno === constants.errno.EACCES) return false;
    this.#check(errno, 'cannot be locked');
    return true;
  }

  /** Gives it back; harmless when it is not held. */
  unlock(): void {
    this.#check(this.#call(F_OFD_SETLK, flock(F_UNLCK, this.#byte)), 'cannot be unlocked');
  }

  /** Whether another open file holds it now. */
  isHeldElsewhere(): boolean {
    const lock = flock(F_WRLCK, this.#byte);
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
    if (errno !== 0) throw lockError(errno, this.path, what);
  }
}
