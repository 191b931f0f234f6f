/** The byte of `<database>-lock` that LiteFS takes as its HALT lock. */
export const HALT_BYTE: number = 72;

/** Commands of fcntl(2) on open-file-description locks, <fcntl.h> of Linux: look, take at once, take or wait. */
export const F_OFD_GETLK: number = 36;
export const F_OFD_SETLK: number = 37;
export const F_OFD_SETLKW: number = 38;

/** Kinds of lock, <fcntl.h>. */
export const F_WRLCK: number = 1;
export const F_UNLCK: number = 2;

/** Mode of a lock file that is made. */
export const LOCK_FILE_MODE: number = 0o640;

/** Size of `struct flock` on 64-bit Linux: type @0, whence @2, start @8, length @16, pid @24. */
const FLOCK_BYTES = 32;

/** A `struct flock` for one byte. As 16-bit numbers, so that the first element is the type on either byte order. */
export function flock(type: number, byte: number): Int16Array {
  const bytes = new ArrayBuffer(FLOCK_BYTES);
  const lock = new Int16Array(bytes);
  lock[0] = type;
  lock[1] = 0; // SEEK_SET
  const long = new BigInt64Array(bytes);
  long[1] = BigInt(byte);
  long[2] = 1n;
  return lock;
}
