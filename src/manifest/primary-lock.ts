import type { Clock } from '../clock.ts';
import { kindOf, ProxyError } from '../errors.ts';
import { type Exclusion, HaltQueue, type HaltQueueOptions } from './halt-queue.ts';
import { type PeerCredentials, PrimaryClient } from './primary-client.ts';

/** Where the lock is. */
export interface PrimaryLockOptions extends HaltQueueOptions {
  /** This node's name. */
  readonly node: string;
  /** The primary's peer listener. */
  readonly url: string;
  /** Shown to it. */
  readonly credentials: PeerCredentials;
}

/** Longest that the primary is asked to wait at a time. */
const WAIT_MS = 10_000;
/** A lease is renewed so many times before it would run out. */
const RENEWALS = 3;

/**
 * Excludes every other writer of the primary's manifest by a lease of its lock. A lease that was not renewed in time is lost,
 * and `assertHeld` says so before the primary gives the lock to another: what is written elsewhere under it must be asked first.
 */
export function primaryLock(options: PrimaryLockOptions): HaltQueue {
  return new HaltQueue(new PrimaryExclusion(options), options);
}

class PrimaryExclusion implements Exclusion {
  readonly kind = 'peer';
  readonly #node: string;
  readonly #clock: Clock;
  readonly #client: PrimaryClient;
  #held: { readonly id: string; until: number; timer: NodeJS.Timeout } | undefined;

  constructor({ node, url, credentials, clock }: PrimaryLockOptions) {
    this.#node = node;
    this.#clock = clock;
    this.#client = new PrimaryClient(url, credentials);
  }

  async acquire(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        const { id, ttlMs } = await this.#client.lease(this.#node, WAIT_MS, { signal });
        // When it began within the wait is not known: its time counts from a renewal.
        this.#held = { id, until: 0, timer: this.#renewal(id, ttlMs) };
        await this.#renew(id);
        return;
      } catch (error) {
        await this.release().catch(() => {});
        if (kindOf(error) !== 'timeout' || signal.aborted) throw error;
      }
    }
  }

  assertHeld(): void {
    if (this.#held !== undefined && this.#clock.monotonic() < this.#held.until) return;
    throw new ProxyError(
      'conflict',
      'primary-lock.check',
      "the lease on the primary's lock ran out",
    );
  }

  async release(): Promise<void> {
    const held = this.#held;
    this.#held = undefined;
    if (held === undefined) return;
    clearInterval(held.timer);
    await this.#client.release(held.id);
  }

  async close(): Promise<void> {
    await this.release().catch(() => {});
    await this.#client[Symbol.asyncDispose]();
  }

  #renewal(id: string, ttlMs: number): NodeJS.Timeout {
    // What cannot be renewed runs out, and is said to be over then.
    return setInterval(() => void this.#renew(id).catch(() => {}), ttlMs / RENEWALS).unref();
  }

  async #renew(id: string): Promise<void> {
    // From before it was asked for, so that ours ends before the primary's.
    const from = this.#clock.monotonic();
    const { ttlMs } = await this.#client.renew(id);
    if (this.#held?.id === id) this.#held.until = from + ttlMs;
  }
}
