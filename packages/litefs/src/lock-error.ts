import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';

/** Linux' own restart code; a descriptor that was closed under a waiting call lets it through. */
export const ERESTARTSYS: number = 512;

/** A lock call failed. `code` such as `ENOSYS`, `errno` its number. The subclasses tell what to do about it. */
export class LockError extends Error {
  override readonly name: string = 'LockError';
  readonly errno: number;
  readonly code: string;
  readonly path: string;

  constructor(errno: number, path: string, what: string) {
    const code = nameOf(errno);
    super(`${path}: ${what} (${code})`);
    this.errno = errno;
    this.code = code;
    this.path = path;
  }
}

/** `ENOSYS`, `ENOTSUP`: this file system or platform has no such lock. LiteFS has the waiting write lock alone. */
export class UnsupportedLockError extends LockError {
  override readonly name = 'UnsupportedLockError';
}

/** `EINTR`, or 512: the call was interrupted, again and again. Trying once more may help. */
export class InterruptedLockError extends LockError {
  override readonly name = 'InterruptedLockError';
}

/** `EAGAIN`, `EACCES`: another open file holds it. */
export class LockHeldError extends LockError {
  override readonly name = 'LockHeldError';
}

/** `EIO`, `ENOTCONN`: LiteFS has no primary, did not get the lock within its own 10 s, or is gone. Nothing may be written. */
export class HaltRefusedError extends LockError {
  override readonly name = 'HaltRefusedError';
}

/** It was not had within the time given (`ETIMEDOUT`). */
export class HaltTimeoutError extends LockError {
  override readonly name = 'HaltTimeoutError';

  constructor(path: string, timeoutMs: number) {
    super(constants.errno.ETIMEDOUT, path, `the lock was not had within ${timeoutMs} ms`);
  }
}

/** The helper process that held or asked for the lock ended (`EPIPE`): the lock is lost, or was never had. */
export class HelperGoneError extends LockError {
  override readonly name = 'HelperGoneError';

  constructor(path: string, how: string) {
    super(constants.errno.EPIPE, path, `the process that holds the lock ended: ${how}`);
  }
}

/** What was asked is not, or not now, a LiteFS: another file system, a file of another form, another server. */
export class NotLiteFsError extends Error {
  override readonly name = 'NotLiteFsError';
}

/** libuv has no name for some that locks give, such as ENOLCK. */
function nameOf(errno: number): string {
  if (errno === ERESTARTSYS) return 'ERESTARTSYS';
  const known = Object.entries(constants.errno).find(([, number]) => number === errno);
  return known?.[0] ?? getSystemErrorName(-errno);
}

/** The error for an errno that a lock call gave. */
export function lockError(errno: number, path: string, what: string): LockError {
  const { ENOSYS, ENOTSUP, EINTR, EAGAIN, EACCES, EIO, ENOTCONN } = constants.errno;
  if (errno === ENOSYS || errno === ENOTSUP) return new UnsupportedLockError(errno, path, what);
  if (errno === EINTR || errno === ERESTARTSYS) return new InterruptedLockError(errno, path, what);
  if (errno === EAGAIN || errno === EACCES) return new LockHeldError(errno, path, what);
  if (errno === EIO || errno === ENOTCONN) return new HaltRefusedError(errno, path, what);
  return new LockError(errno, path, what);
}
