import { LRUCache } from 'lru-cache';
import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { chargeOf, ENTRY_BYTES, type EvictionNeed, Evictor, type Pins } from './eviction.ts';
import { QUOTA_REFUSALS, QuotaQueue, type QuotaRefusal } from './quota-queue.ts';
import type { Reservation } from './reservation.ts';
import type { SieveRecords } from './sieve.ts';
import { checkSignal } from './verified-body.ts';

/** How much a backend may hold. */
export interface QuotaLimits {
  /** Bytes. Absent: any number. */
  readonly maxBytes?: number | undefined;
  /** Absent: any number. */
  readonly maxEntries?: number | undefined;
  /** Shares of both from which eviction begins, and at which it ends. */
  readonly highWater: number;
  readonly lowWater: number;
}

/** How a quota is made. */
export interface QuotaOptions {
  /** Of the backend. */
  readonly name: string;
  readonly limits: QuotaLimits;
  readonly records: SieveRecords;
  /** Absent: nothing is pinned. */
  readonly pins?: Pins | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** A body is huge if it takes the room of more than so many average ones; lengths of so many are remembered as asked for once. */
const HUGE = 1000;
const MAX_ASKED = 1000;
/** After nothing could go, it is tried again after this long, `MIN_REST_MS` where bodies on their way hold the room; longer where looking took long. */
const REST_MS = 1000;
const MIN_REST_MS = 50;
const REST_FACTOR = 10;
const MAX_REST_MS = 60_000;

/**
 * Keeps one backend within its limits: a body gets room before its bytes come, and what was not asked for again makes room in
 * the background, before there is none left. Counts what is kept, what is on its way and what is being removed.
 */
export class Quota implements AsyncDisposable {
  readonly #options: QuotaOptions;
  readonly #evictor: Evictor;
  readonly #asked = new LRUCache<number, true>({ max: MAX_ASKED });
  readonly #queue = new QuotaQueue((reason) => this.#refusal(reason));
  #reserved = { charge: 0, entries: 0 };
  #running: Promise<void> | undefined;
  #restUntil = Number.NEGATIVE_INFINITY;
  #restTimer: NodeJS.Timeout | undefined;
  #floor = Number.POSITIVE_INFINITY;
  #isClosed = false;

  constructor(options: QuotaOptions) {
    this.#options = options;
    this.#evictor = new Evictor({
      records: options.records,
      pins: options.pins,
      leaving: ({ size }) => {
        const amount = { charge: size + ENTRY_BYTES, entries: 1 };
        this.#reserve(amount, 1);
        return () => this.#reserve(amount, -1);
      },
    });
  }

  /** What counts now: charge in bytes, and bodies. */
  get used(): EvictionNeed {
    const totals = this.#options.records.totals();
    return {
      charge: chargeOf(totals) + this.#reserved.charge,
      entries: totals.entries + this.#reserved.entries,
    };
  }

  /** Begins to evict where more is kept than may be, as after the limits were lowered. */
  start(): void {
    if (!this.#fits({ charge: 0, entries: 0 }, this.#options.limits.highWater)) this.#wake();
  }

  /**
   * Room for a body of `size` bytes, at once or after others went. Throws `too-large` where there is none to be had: the body is
   * larger than the whole, others are pinned or being read, or it would sweep out too many others, and counts why.
   */
  async reserve(size: number, options: CallOptions = {}): Promise<Reservation> {
    let held: EvictionNeed = { charge: 0, entries: 0 };
    let isOver = false;
    const resize: Reservation['resize'] = async (bytes, { signal, body = bytes } = {}) => {
      const wanted = { charge: bytes + ENTRY_BYTES, entries: 1 };
      const more = {
        charge: wanted.charge - held.charge,
        entries: wanted.entries - held.entries,
      };
      if (more.charge > 0 || more.entries > 0) await this.#admit(more, bytes, body);
      else this.#reserve(more, 1);
      held = { charge: held.charge + more.charge, entries: held.entries + more.entries };
      if (!isOver) {
        checkSignal(signal, 'quota.reserve');
        return;
      }
      this.#reserve(held, -1);
      held = { charge: 0, entries: 0 };
    };
    const release = (): void => {
      isOver = true;
      this.#reserve(held, -1);
      held = { charge: 0, entries: 0 };
      this.#admitWaiters();
    };
    try {
      await resize(size, options);
    } catch (error) {
      release();
      throw error;
    }
    return { resize, release };
  }

  /** Removes bodies of about so many bytes in all, as far as some can go. */
  async free(bytes: number): Promise<void> {
    this.#floor = Math.min(this.#floor, this.used.charge - bytes);
    this.#wake();
    // While nothing can go, whoever asked is let down now: nobody needs it later.
    if (this.#running === undefined) this.#floor = Number.POSITIVE_INFINITY;
    await this.#running;
  }

  /** Ends eviction; who waits for room is refused. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#restTimer);
    this.#queue.refuseAll();
    await this.#running;
  }

  async #admit(more: EvictionNeed, bytes: number, size: number): Promise<void> {
    const { highWater, lowWater, maxBytes = Number.POSITIVE_INFINITY } = this.#options.limits;
    if (bytes + ENTRY_BYTES > maxBytes * lowWater) throw this.#refusal('larger');
    const isFirst = this.#queue.length === 0;
    if (isFirst && this.#fits(more, highWater)) {
      this.#reserve(more, 1);
      return;
    }
    const isHuge = this.#isHuge(size);
    if (isHuge && !this.#asked.has(size)) {
      this.#asked.set(size, true);
      throw this.#refusal('huge');
    }
    if (isFirst && this.#fits(more, 1)) {
      this.#reserve(more, 1);
      this.#wake();
      return;
    }
    const admitted = this.#queue.wait(more, isHuge ? more.charge : Number.POSITIVE_INFINITY);
    this.#wake();
    await admitted;
  }

  #wake(): void {
    if (this.#running !== undefined) return;
    if (this.#isClosed) {
      this.#queue.refuseAll();
      return;
    }
    if (this.#options.clock.monotonic() < this.#restUntil) {
      this.#rest();
      return;
    }
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      this.#floor = Number.POSITIVE_INFINITY;
      // Who came after the last step.
      if (this.#queue.length > 0) this.#wake();
    });
  }

  async #run(): Promise<void> {
    const { clock, log, metrics, name } = this.#options;
    const from = clock.monotonic();
    let removedAt = from;
    let isStuck = false;
    let removed = 0;
    try {
      for (;;) {
        const need = this.#need();
        if (need === undefined || this.#isClosed || isStuck) break;
        const step = await this.#evictor.step(need);
        removed += step.removed;
        if (step.removed > 0) {
          metrics.count('evicted_total', name, step.removed);
          removedAt = clock.monotonic();
        }
        isStuck = step.isStuck;
        this.#queue.spend(step.passed);
        this.#admitWaiters();
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      isStuck = true;
      log.error({ storage: name, reason: messageOf(error) }, 'bodies could not be evicted');
    }
    const now = clock.monotonic();
    if (removed > 0)
      log.debug({ storage: name, removed, ms: Math.round(now - from) }, 'bodies were evicted');
    this.#admitWaiters();
    if (!isStuck) return;
    this.#evictor.rested();
    const pause = this.#isComing ? MIN_REST_MS : REST_MS;
    // Where looking took long it is done seldom.
    this.#restUntil = now + Math.min(MAX_REST_MS, Math.max(pause, REST_FACTOR * (now - removedAt)));
    this.#rest();
  }

  /** Whether bodies have room that are not on record yet: they may go, or not come, soon. */
  get #isComing(): boolean {
    return this.#reserved.entries > 0;
  }

  // Where nothing is coming, nothing will change; else who waits has some time yet.
  #rest(): void {
    if (!this.#isComing) this.#queue.refuseAll();
    if (this.#queue.length === 0 || this.#restTimer !== undefined) return;
    const left = this.#restUntil - this.#options.clock.monotonic();
    this.#restTimer = setTimeout(() => {
      this.#restTimer = undefined;
      if (this.#queue.length > 0) this.#wake();
    }, left + 1).unref();
  }

  /** What is too much, with those who wait counted as if they were there. Absent: it is enough. */
  #need(): EvictionNeed | undefined {
    const { lowWater, maxBytes = Number.POSITIVE_INFINITY } = this.#options.limits;
    const { used } = this;
    const waiting = this.#queue.need;
    let charge = used.charge + waiting.charge;
    let entries = used.entries + waiting.entries;
    charge -= Math.min(maxBytes * lowWater, this.#floor);
    entries -= this.#entriesAt(lowWater);
    return charge > 0 || entries > 0 ? { charge, entries } : undefined;
  }

  #fits(more: EvictionNeed, share: number): boolean {
    const { maxBytes = Number.POSITIVE_INFINITY } = this.#options.limits;
    const { charge, entries } = this.used;
    return (
      charge + more.charge <= maxBytes * share && entries + more.entries <= this.#entriesAt(share)
    );
  }

  // A share of few is at least one.
  #entriesAt(share: number): number {
    return Math.ceil((this.#options.limits.maxEntries ?? Number.POSITIVE_INFINITY) * share);
  }

  #isHuge(size: number): boolean {
    const totals = this.#options.records.totals();
    if (totals.entries < HUGE) return false;
    return size + ENTRY_BYTES > (HUGE * chargeOf(totals)) / totals.entries;
  }

  #reserve({ charge, entries }: EvictionNeed, sign: 1 | -1): void {
    this.#reserved.charge += sign * charge;
    this.#reserved.entries += sign * entries;
  }

  #admitWaiters(): void {
    try {
      this.#queue.admit((need) => {
        if (!this.#fits(need, 1)) return false;
        this.#reserve(need, 1);
        return true;
      });
    } catch {
      // The totals cannot be read now.
      this.#queue.refuseAll();
    }
  }

  #refusal(reason: QuotaRefusal): ProxyError {
    this.#options.metrics.count('quota_refused_total', reason);
    return new ProxyError(
      'too-large',
      'quota.reserve',
      `${this.#options.name}: ${QUOTA_REFUSALS[reason]}`,
    );
  }
}
