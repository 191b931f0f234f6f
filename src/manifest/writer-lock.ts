import type { Clock } from '../clock.ts';
import type { HaltLock } from './halt-lock.ts';
import { localLock, noLock } from './local-lock.ts';
import type { WriterSettings } from './writer-protocol.ts';

/**
 * The lock that the writer of a node takes before it writes its database. With `peer` changes are written by the primary,
 * but what comes back is written here, beside other processes on the same folder.
 */
export function writerLock(
  { lock, path, acquireTimeoutMs }: WriterSettings,
  clock: Clock,
): HaltLock {
  const options = { clock, acquireTimeoutMs };
  return lock === 'none' ? noLock(options) : localLock(path, options);
}
