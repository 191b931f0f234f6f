import { constants } from 'node:os';
import { UnsupportedLockError } from './lock-error.ts';

/** 64-bit machines whose `struct flock` and constants these are, and on which koffi has been tried. */
const ARCHITECTURES = new Set<string>(['x64', 'arm64']);

/** Where a process runs. Absent parts: this one. */
export interface Platform {
  readonly platform?: string | undefined;
  readonly arch?: string | undefined;
}

/** Throws `UnsupportedLockError` where there are no such locks, or none that were tried: anything but 64-bit Linux. */
export function assertPlatform(path: string, where: Platform = {}): void {
  const { platform = process.platform, arch = process.arch } = where;
  if (platform === 'linux' && ARCHITECTURES.has(arch)) return;
  throw new UnsupportedLockError(
    constants.errno.ENOTSUP,
    path,
    `locks between processes need Linux on x64 or arm64, this is ${platform} on ${arch}`,
  );
}
