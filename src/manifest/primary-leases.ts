import { randomUUID } from 'node:crypto';
import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { HaltLease } from './halt-lock.ts';
import type { LeaseAnswer } from './primary-protocol.ts';

interface Held {
  readonly lease: HaltLease;
  timer: NodeJS.Timeout;
}

/** Told of each lease given, given back, or taken away because its holder did not renew it. */
export type LeaseOutcome = 'given' | 'released' | 'expired';

/** What leases are made of. */
export interface LeaseOptions {
  /** The lock that a lease holds for another node. */
  readonly acquire: (options: CallOptions) => Promise<HaltLease>;
  readonly ttlMs: number;
  readonly count: (outcome: LeaseOutcome) => void;
}

/** Leases on this node's lock for other nodes. One that is not renewed in time ends, and so do all when the process does. */
export class PrimaryLeases {
  readonly #options: LeaseOptions;
  readonly #held = new Map<string, Held>();

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Throws `timeout` when the lock was not had within `waitMs`. */
  async give(waitMs: number): Promise<LeaseAnswer> {
    const { acquire, ttlMs, count } = this.#options;
    const signal = AbortSignal.timeout(Math.max(1, waitMs));
    let lease: HaltLease;
    try {
      lease = await acquire({ signal });
    } catch (cause) {
      if (!signal.aborted) throw cause;
      throw new ProxyError(
        'timeout',
        'primary-leases.give',
        `the lock was not had within ${waitMs} ms`,
        { cause },
      );
    }
    const id = randomUUID();
    this.#held.set(id, { lease, timer: this.#expire(id) });
    count('given');
    return { id, ttlMs };
  }

  /** Throws `gone` for a lease that is over. */
  renew(id: string): LeaseAnswer {
    const held = this.#held.get(id);
    if (held === undefined)
      throw new ProxyError('gone', 'primary-leases.renew', 'there is no such lease any more');
    clearTimeout(held.timer);
    held.timer = this.#expire(id);
    return { id, ttlMs: this.#options.ttlMs };
  }

  async release(id: string): Promise<void> {
    await this.#end(id, 'released');
  }

  /** Ends all of them. */
  async close(): Promise<void> {
    for (const id of [...this.#held.keys()]) await this.#end(id, 'released');
  }

  #expire(id: string): NodeJS.Timeout {
    return setTimeout(() => void this.#end(id, 'expired'), this.#options.ttlMs).unref();
  }

  async #end(id: string, outcome: LeaseOutcome): Promise<void> {
    const held = this.#held.get(id);
    if (held === undefined) return;
    this.#held.delete(id);
    clearTimeout(held.timer);
    this.#options.count(outcome);
    await held.lease[Symbol.asyncDispose]();
  }
}
