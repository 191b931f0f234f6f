import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { FlightSubject } from '../stashers/fills.ts';
import { flightId, idOf } from './flight-id.ts';
import type { PurgeTimes } from './purge-times.ts';
import type { Resource } from './resource.ts';

/** A stale answer that stood in for a failed upstream does so for this long without anyone waiting for the next failure. */
const HOLD_OFF_MS = 5_000;
/** Failures remembered. */
const MAX_FAILED = 10_000;
/** How long requests for what turned out to be for one client alone do not wait for each other. */
const UNSHARED_MS = 60_000;
/** Characters of names remembered, with what each costs beside them. */
const MAX_UNSHARED = 4 * 1024 * 1024;
const NAME_COST = 100;
// A purge by tag takes what is kept, and this is not.
const NO_TAGS: ReadonlySet<string> = new Set();

/**
 * What came of late of asking upstream, in this process: which resources failed, and which cannot be shared, so that their
 * requests need not wait to learn it again. Bounded; what is not remembered costs one wait.
 */
export class RecentOutcomes {
  readonly #clock: Clock;
  readonly #purges: PurgeTimes;
  /** Until when, in milliseconds since the epoch. */
  readonly #failed = new LRUCache<string, number>({ max: MAX_FAILED });
  /** Since when, by the monotonic clock. */
  readonly #unshared = new LRUCache<string, number>({
    maxSize: MAX_UNSHARED,
    sizeCalculation: (_, name) => name.length + NAME_COST,
  });

  constructor(clock: Clock, purges: PurgeTimes) {
    this.#clock = clock;
    this.#purges = purges;
  }

  /** The upstream failed, and a stale answer stood in. */
  failed(subject: FlightSubject): void {
    this.#failed.set(idOf(subject), this.#clock.now() + HOLD_OFF_MS);
  }

  /** True: the upstream failed a moment ago. */
  hasFailed(subject: FlightSubject): boolean {
    return this.#clock.now() < (this.#failed.get(idOf(subject)) ?? 0);
  }

  /** An answer was for one client alone; `vary`: fields that the key's answers were known to vary on. */
  unshared(resource: Resource, vary: readonly string[]): void {
    this.#unshared.set(nameOf(resource, vary), this.#clock.monotonic());
  }

  /** An answer may be shared, so that requests share its fetch again. */
  shared(resource: Resource, vary: readonly string[]): void {
    if (this.#unshared.size > 0) this.#unshared.delete(nameOf(resource, vary));
  }

  /** True: the last answer was for one client alone, no purge has come since, and it was not long ago. */
  isUnshared(resource: Resource, vary: readonly string[]): boolean {
    if (this.#unshared.size === 0) return false;
    const name = nameOf(resource, vary);
    const since = this.#unshared.get(name);
    if (since === undefined) return false;
    const purged = this.#purges.latest({ ...resource.subject, tags: NO_TAGS });
    const isOver = this.#clock.monotonic() - since >= UNSHARED_MS;
    if (!isOver && (purged === undefined || purged < since)) return true;
    this.#unshared.delete(name);
    return false;
  }
}

// What is refused for one client's credentials says nothing about clients without.
function nameOf(resource: Resource, vary: readonly string[]): string {
  return `${flightId(resource, vary)}\n${resource.personal?.() ?? ''}`;
}
