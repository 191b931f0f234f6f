import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';

/** How long what was damaged once is not asked for there again. Milliseconds. */
const HOLD_OFF_MS = 60_000;
const MAX_NAMES = 10_000;

/** What a place should not be asked for, for a while. Bounded: what was noted longest ago goes first. */
export class Mistrust {
  readonly #clock: Clock;
  readonly #until = new LRUCache<string, number>({ max: MAX_NAMES });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** From now on, for a minute. */
  note(name: string): void {
    this.#until.set(name, this.#clock.monotonic() + HOLD_OFF_MS);
  }

  has(name: string): boolean {
    return this.#clock.monotonic() < (this.#until.get(name) ?? 0);
  }
}
