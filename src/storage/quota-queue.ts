import type { ProxyError } from '../errors.ts';
import type { EvictionNeed } from './eviction.ts';

/** Why a body got no room. */
export type QuotaRefusal = 'larger' | 'huge' | 'full' | 'slow';

/** The same as sentences. */
export const QUOTA_REFUSALS: Readonly<Record<QuotaRefusal, string>> = {
  larger: 'the body is larger than the whole quota',
  huge: 'the body would sweep out too many others; one of its length is kept when it comes again',
  full: 'the quota is used up by bodies that are pinned, being read, waiting for a far store or in use',
  slow: 'the quota is used up, and room was not made in time',
};

interface Waiter extends EvictionNeed {
  /** Charge of bodies in use that may be passed over for it. */
  budget: number;
  readonly settle: (refusal: ProxyError | undefined) => void;
}

/** A body that waits longer for room is not kept: its clients may wait with it. */
const MAX_WAIT_MS = 2000;

/** Bodies that wait for room in a quota, in the order of asking. */
export class QuotaQueue {
  readonly #waiters: Waiter[] = [];
  readonly #refusal: (reason: QuotaRefusal) => ProxyError;

  /** `refusal` makes what those are told that get no room. */
  constructor(refusal: (reason: QuotaRefusal) => ProxyError) {
    this.#refusal = refusal;
  }

  get length(): number {
    return this.#waiters.length;
  }

  /** What all of them need. */
  get need(): EvictionNeed {
    let charge = 0;
    let entries = 0;
    for (const waiter of this.#waiters) {
      charge += waiter.charge;
      entries += waiter.entries;
    }
    return { charge, entries };
  }

  /** Resolves once it was admitted; rejects with a refusal. `budget` is what `spend` may take until then. */
  async wait(need: EvictionNeed, budget: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => this.#refuse(waiter, 'slow'), MAX_WAIT_MS).unref();
    const waiter: Waiter = {
      ...need,
      budget,
      settle: (refusal) => {
        clearTimeout(timer);
        if (refusal === undefined) resolve();
        else reject(refusal);
      },
    };
    this.#waiters.push(waiter);
    await promise;
  }

  /** Admits from the first on those that `take` takes, up to the first that it does not. */
  admit(take: (need: EvictionNeed) => boolean): void {
    for (let first = this.#waiters[0]; first !== undefined; first = this.#waiters[0]) {
      if (!take(first)) return;
      this.#waiters.shift();
      first.settle(undefined);
    }
  }

  /** Bodies in use of so much charge were passed over. */
  spend(charge: number): void {
    for (const waiter of [...this.#waiters]) {
      waiter.budget -= charge;
      if (waiter.budget < 0) this.#refuse(waiter, 'huge');
    }
  }

  /** Nobody gets room. */
  refuseAll(): void {
    for (const waiter of [...this.#waiters]) this.#refuse(waiter, 'full');
  }

  #refuse(waiter: Waiter, reason: QuotaRefusal): void {
    const at = this.#waiters.indexOf(waiter);
    if (at < 0) return;
    this.#waiters.splice(at, 1);
    waiter.settle(this.#refusal(reason));
  }
}
