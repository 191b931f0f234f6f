import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import { messageOf, ProxyError } from './errors.ts';
import { ownBodies } from './gc.ts';
import type { Logger } from './log.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { Metrics } from './metrics.ts';
import { readCursor, type ScrubCursor, writeCursor } from './scrub-cursor.ts';
import { busyWatch, ScrubPace } from './scrub-pace.ts';
import { type Backend, isScrubbable, type Scrubbable } from './storage/backend.ts';
import type { Digest } from './storage/digest.ts';
import type { Repaired } from './storage-repair.ts';

/** What a scrubber works on. */
export interface ScrubberOptions {
  readonly config: Pick<Config, 'scrub'>;
  readonly backends: readonly (readonly [string, Backend])[];
  readonly manifest: Manifest;
  /** Fetches damaged bodies again. */
  readonly repair: (
    digests: ReadonlySet<Digest>,
    options: { readonly signal: AbortSignal },
  ) => AsyncIterable<Repaired>;
  /** Cleans up after each pass. Absent: nothing does. */
  readonly tidy?: (() => Promise<void>) | undefined;
  /** File that says how far it is; lost without harm. */
  readonly cursorPath: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Whether there is more important work now. Absent: asks the event loop. */
  readonly isBusy?: (() => boolean) | undefined;
}

type Store = readonly [name: string, backend: Backend & Scrubbable];

/** How often it is written down how far it is. Milliseconds. */
const SAVE_MS = 10_000;
/** Damaged bodies are fetched again when so many were found, or so long after the first one. */
const REPAIR_COUNT = 100;
const REPAIR_MS = 60_000;
/** A storage that fails so often in a row is left for the next pass. */
const MAX_FAILURES = 5;
const FAILURE_WAIT_MS = 10_000;
/** So many bad bodies, and more than this part of those read: a disk that is not mounted or not readable is not emptied. */
const MANY = 50;
const MANY_SHARE = 0.1;
/** Rows of the manifest read at a time. */
const PAGE = 200;

/**
 * Reads every body of the storages in use against its digest, and every row of the manifest, once in each period: paced by what
 * there is to read, within a rate, going on after a restart where it was. What is damaged is put aside and fetched again.
 */
export class Scrubber {
  readonly #options: ScrubberOptions;
  readonly #stores: readonly Store[];
  #cursor: ScrubCursor | undefined;
  #savedAt = 0;
  #damaged = new Set<Digest>();
  #damagedAt = 0;

  constructor(options: ScrubberOptions) {
    this.#options = options;
    this.#stores = options.backends.filter((one): one is Store => isScrubbable(one[1]));
  }

  /** Passes again and again until the signal fires. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { config, clock, log } = this.#options;
    const { periodMs } = config.scrub;
    if (periodMs === 0) return;
    try {
      this.#cursor = await readCursor(this.#options.cursorPath);
      for (;;) {
        const wait =
          (this.#cursor?.done === true ? this.#cursor.startedAt + periodMs : 0) - clock.now();
        // A clock that was set back must not stop it for longer than a period.
        if (wait > 0) await sleepLong(clock, Math.min(wait, periodMs), signal);
        await this.pass(signal);
      }
    } catch (error) {
      if (!signal.aborted) log.error({ err: messageOf(error) }, 'the scrubber stopped');
    }
    await this.#save();
  }

  /** One pass from where the last one was left, or from the start. Throws the signal's reason. */
  async pass(signal: AbortSignal): Promise<void> {
    const { config, clock, log, isBusy = busyWatch(), tidy } = this.#options;
    const { periodMs, rate: maxRate } = config.scrub;
    const now = clock.now();
    const old = this.#cursor;
    const goesOn = old?.done === false && this.#stores.some(([name]) => name === old.storage);
    // A pass that is late, or a clock that was set, leaves no time: then it has a period of its own.
    const isInTime = goesOn && old.startedAt <= now && old.startedAt + periodMs > now;
    this.#cursor = goesOn ? old : { startedAt: now, done: false };
    const endsAt = (isInTime ? old.startedAt : now) + periodMs;
    const pace = new ScrubPace({ clock, maxRate, isBusy, signal });
    const left = await this.#left(signal);
    pace.spread(left.bytes, left.bodies, endsAt - now);
    log.debug({ ...left, rate: Math.round(pace.rate) }, 'scrubbing begins');
    let first = this.#cursor.storage;
    for (const store of this.#stores) {
      if (first !== undefined && first !== store[0]) continue;
      await this.#scrubStore(
        store,
        first === undefined ? undefined : this.#cursor.after,
        pace,
        signal,
      );
      first = undefined;
      await this.#repair(signal);
    }
    await this.#readRows(signal);
    this.#cursor = { startedAt: this.#cursor.startedAt, done: true };
    await this.#save();
    log.info({ ...left, seconds: Math.round((clock.now() - now) / 1000) }, 'every body was read');
    await tidy?.();
  }

  async #left(signal: AbortSignal): Promise<{ readonly bodies: number; readonly bytes: number }> {
    let bodies = 0;
    let bytes = 0;
    const { storage, after } = this.#cursor ?? {};
    let isBefore = storage !== undefined;
    for (const [name, backend] of this.#stores) {
      const isHere = name === storage;
      if (isHere) isBefore = false;
      if (isBefore) continue;
      try {
        const from = isHere ? after : undefined;
        for await (const { size } of ownBodies(backend, { signal }, from)) {
          bodies += 1;
          bytes += size;
        }
      } catch (error) {
        signal.throwIfAborted();
        this.#failed(name, error);
      }
    }
    return { bodies, bytes };
  }

  async #scrubStore(
    [name, backend]: Store,
    after: Digest | undefined,
    pace: ScrubPace,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, metrics } = this.#options;
    let failures = 0;
    let read = 0;
    let bad = 0;
    this.#move({ storage: name, after });
    try {
      for await (const { digest } of ownBodies(backend, { signal }, after)) {
        await pace.takeBody();
        try {
          const verdict = await backend.scrub(digest, {
            pace: async (bytes) => await pace.take(bytes),
            signal,
          });
          failures = 0;
          metrics.count('scrubbed_total', verdict);
          read += 1;
          if (verdict === 'damaged' || verdict === 'missing') {
            bad += 1;
            this.#noteDamage(digest);
          }
        } catch (error) {
          signal.throwIfAborted();
          if (++failures >= MAX_FAILURES) throw error;
          this.#failed(name, error);
          await clock.sleep(FAILURE_WAIT_MS, { signal });
        }
        this.#move({ storage: name, after: digest });
        await this.#atTimes(signal);
        if (bad >= MANY && bad > read * MANY_SHARE)
          throw new ProxyError(
            'unavailable',
            'scrubber.pass',
            `${bad} of ${read} bodies are damaged or gone, which looks like the storage itself: the rest is left alone`,
          );
      }
    } catch (error) {
      signal.throwIfAborted();
      this.#failed(name, error);
    }
  }

  #noteDamage(digest: Digest): void {
    if (this.#damaged.size === 0) this.#damagedAt = this.#options.clock.monotonic();
    this.#damaged.add(digest);
  }

  async #atTimes(signal: AbortSignal): Promise<void> {
    const now = this.#options.clock.monotonic();
    const isDue = this.#damaged.size > 0 && now - this.#damagedAt >= REPAIR_MS;
    if (isDue || this.#damaged.size >= REPAIR_COUNT) await this.#repair(signal);
    if (now - this.#savedAt >= SAVE_MS) await this.#save();
  }

  // What cannot be had now is had by the next request for it.
  async #repair(signal: AbortSignal): Promise<void> {
    const { repair, log } = this.#options;
    const damaged = this.#damaged;
    if (damaged.size === 0) return;
    this.#damaged = new Set();
    try {
      for await (const { digest, repair: outcome, problem } of repair(damaged, { signal }))
        log.info({ digest, repair: outcome, problem }, 'a damaged body was to be fetched again');
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: messageOf(error) }, 'damaged bodies could not be fetched again');
    }
  }

  // Reading a row is checking it: one that fails its checksum goes away and is counted.
  async #readRows(signal: AbortSignal): Promise<void> {
    const { manifest, clock, log } = this.#options;
    try {
      let after: string | undefined;
      do {
        const page = await manifest.list({ after, limit: PAGE });
        after = page.next;
        await clock.sleep(1, { signal });
      } while (after !== undefined);
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: messageOf(error) }, 'the rows of the manifest could not be read');
    }
  }

  #failed(storage: string, error: unknown): void {
    this.#options.log.warn({ storage, err: messageOf(error) }, 'a storage could not be scrubbed');
  }

  #move(to: Pick<ScrubCursor, 'storage' | 'after'>): void {
    this.#cursor = { startedAt: this.#cursor?.startedAt ?? 0, done: false, ...to };
  }

  async #save(): Promise<void> {
    const { cursorPath, clock, log } = this.#options;
    this.#savedAt = clock.monotonic();
    if (this.#cursor === undefined) return;
    try {
      await writeCursor(cursorPath, this.#cursor);
    } catch (error) {
      log.debug({ err: messageOf(error) }, 'how far the scrubber is could not be written');
    }
  }
}

/** Timers hold at most this many milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

/** Sleeps for any number of milliseconds. Throws the signal's reason. */
export async function sleepLong(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  for (let left = ms; left > 0; left -= LONGEST_MS)
    await clock.sleep(Math.min(left, LONGEST_MS), { signal });
}
