import { OfdLock } from '@caje/litefs';
import { type Exclusion, HaltQueue, type HaltQueueOptions } from './halt-queue.ts';

/** Excludes other processes of this machine by byte 72 of `<database>-lock`. Throws where the platform has no such lock. */
export function localLock(databasePath: string, options: HaltQueueOptions): HaltQueue {
  const lock = new OfdLock(`${databasePath}-lock`);
  const exclusion: Exclusion = {
    kind: 'local',
    tryLock: () => lock.tryLock(),
    unlock: () => lock.unlock(),
    close: () => lock.close(),
  };
  return new HaltQueue(exclusion, options);
}

/** Excludes nobody outside: for a database that one process alone writes, and where there are no OFD locks. */
export function noLock(options: HaltQueueOptions): HaltQueue {
  return new HaltQueue(
    { kind: 'none', tryLock: () => true, unlock: () => {}, close: () => {} },
    options,
  );
}
