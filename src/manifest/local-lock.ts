import { OfdLock } from '@caje/litefs';
import type { Clock } from '../clock.ts';
import { closed, type Exclusion, HaltQueue, type HaltQueueOptions } from './halt-queue.ts';

// A timer cannot be set shorter than a millisecond, so that is where polling begins.
const FIRST_POLL_MS = 1;
const LAST_POLL_MS = 20;

/** Excludes other processes of this machine by byte 72 of `<database>-lock`. Throws where the platform has no such lock. */
export function localLock(databasePath: string, options: HaltQueueOptions): HaltQueue {
  return new HaltQueue(new PolledLock(`${databasePath}-lock`, options), options);
}

/** Excludes nobody outside: for a database that one process alone writes, and where there are no OFD locks. */
export function noLock(options: HaltQueueOptions): HaltQueue {
  const nothing = async (): Promise<void> => {};
  return new HaltQueue(
    { kind: 'none', acquire: nothing, assertHeld: () => {}, release: nothing, close: nothing },
    options,
  );
}

/** Polled with the form that does not wait, as a waiting call could not be given up. */
class PolledLock implements Exclusion {
  readonly kind = 'local';
  readonly #lock: OfdLock;
  readonly #clock: Clock;
  readonly #random: () => number;
  #closed = false;

  constructor(path: string, options: HaltQueueOptions) {
    this.#lock = new OfdLock(path);
    this.#clock = options.clock;
    this.#random = options.random ?? Math.random;
  }

  async acquire(signal: AbortSignal): Promise<void> {
    let wait = FIRST_POLL_MS;
    for (;;) {
      signal.throwIfAborted();
      if (this.#closed) throw closed();
      if (this.#lock.tryLock()) return;
      const jitter = 0.75 + this.#random() / 2;
      await this.#clock.sleep(wait * jitter, { signal }).catch(() => {});
      wait = Math.min(wait * 2, LAST_POLL_MS);
    }
  }

  assertHeld(): void {
    // It goes with the process alone.
  }

  async release(): Promise<void> {
    this.#lock.unlock();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#lock.close();
  }
}
