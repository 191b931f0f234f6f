export type { Fcntl } from './fcntl.ts';
export { LockError } from './lock-error.ts';
export { HALT_BYTE, OfdLock, type OfdLockOptions } from './ofd-lock.ts';
