export type { Fcntl } from './fcntl.ts';
export { HALT_BYTE } from './flock.ts';
export { type Halt, type HaltOptions, halt, unhalt, withHalt } from './halt.ts';
export { HaltHelper, type HaltHelperOptions } from './halt-helper.ts';
export {
  type ApiOptions,
  databases,
  info,
  LITEFS_URL,
  type LiteFsDatabase,
  type LiteFsInfo,
} from './litefs-api.ts';
export {
  ERESTARTSYS,
  HaltRefusedError,
  HaltTimeoutError,
  HelperGoneError,
  InterruptedLockError,
  LockError,
  LockHeldError,
  lockError,
  NotLiteFsError,
  UnsupportedLockError,
} from './lock-error.ts';
export { isLiteFs, liteFsMount } from './mount.ts';
export {
  lag,
  type Position,
  position,
  primary,
  type WaitOptions,
  waitForPosition,
} from './node-files.ts';
export { OfdLock, type OfdLockOptions } from './ofd-lock.ts';
export { assertPlatform, type Platform } from './platform.ts';
export {
  isPrimary,
  type PrimaryChangesOptions,
  type PrimaryState,
  primaryChanges,
} from './primary-changes.ts';
