import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { ProxyError } from '../errors.ts';
import type { HaltLease, HaltLock } from './halt-lock.ts';

/** Milliseconds that a lease is good for: far less than any holder may be waited for. */
const HOLD_MS = 5000;
const ACQUIRE_TIMEOUT_MS = 10_000;

/** What a lock between processes adds to the queue inside this one. Asked by one at a time. */
export interface Exclusion {
  readonly kind: HaltLock['kind'];
  /** Resolves once it is had. Rejects when it cannot be had now, and soon after the signal was given. */
  acquire(signal: AbortSignal): Promise<void>;
  /** Throws when it was lost since it was had. Synchronous. */
  assertHeld(): void;
  /** Gives it back; what goes wrong is this side's to tell and to mend. */
  release(): Promise<void>;
  close(): Promise<void>;
}

/** How a lock is waited for. */
export interface HaltQueueOptions {
  readonly clock: Clock;
  /** Longest wait for a lease. Absent: 10,000 ms. */
  readonly acquireTimeoutMs?: number | undefined;
  /** Between 0 and 1, for the jitter of polling. Absent: `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** A lock whose waiters queue in order inside the process; the first of them waits for what excludes other processes. */
export class HaltQueue implements HaltLock {
  readonly kind: HaltLock['kind'];
  readonly #exclusion: Exclusion;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  #tail: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(exclusion: Exclusion, options: HaltQueueOptions) {
    this.kind = exclusion.kind;
    this.#exclusion = exclusion;
    this.#clock = options.clock;
    this.#timeoutMs = options.acquireTimeoutMs ?? ACQUIRE_TIMEOUT_MS;
  }

  async acquire(options: CallOptions = {}): Promise<HaltLease> {
    const end = new AbortController();
    const signal = AbortSignal.any([end.signal, ...(options.signal ? [options.signal] : [])]);
    const before = this.#tail;
    let leave: () => void = () => {};
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    this.#tail = before.then(() => left);
    const timer = setTimeout(() => end.abort(timedOut(this.#timeoutMs)), this.#timeoutMs);
    try {
      await orAborted(before, signal);
      if (this.#closed) throw closed();
      await this.#exclude(signal);
      return this.#lease(leave);
    } catch (error) {
      leave();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#exclusion.close();
  }

  async #exclude(signal: AbortSignal): Promise<void> {
    try {
      await this.#exclusion.acquire(signal);
    } catch (error) {
      // Whoever was told to stop says so in words of its own.
      throwIfAborted(signal);
      throw error;
    }
  }

  #lease(leave: () => void): HaltLease {
    const deadline = this.#clock.monotonic() + HOLD_MS;
    let over = false;
    return {
      deadline,
      assertHeld: () => {
        if (over || this.#closed)
          throw new ProxyError('conflict', 'halt-lease.check', 'the lease was given back');
        if (this.#clock.monotonic() > deadline) {
          throw new ProxyError(
            'conflict',
            'halt-lease.check',
            `the lease ran out after ${HOLD_MS} ms`,
          );
        }
        this.#exclusion.assertHeld();
      },
      [Symbol.asyncDispose]: async () => {
        if (over) return;
        over = true;
        try {
          if (!this.#closed) await this.#exclusion.release();
        } catch {
          // Closing it frees it too; there is nothing else to do here, and a dispose never throws.
        } finally {
          leave();
        }
      },
    };
  }
}

/** The lock was closed: nobody can have it any more. */
export function closed(): ProxyError {
  return new ProxyError('unavailable', 'halt-queue.acquire', 'the lock is closed');
}

function timedOut(ms: number): ProxyError {
  return new ProxyError('timeout', 'halt-queue.acquire', `the lock was not had within ${ms} ms`);
}

function throwIfAborted(signal: AbortSignal): void {
  if (!signal.aborted) return;
  if (signal.reason instanceof ProxyError) throw signal.reason;
  throw new ProxyError('aborted', 'halt-queue.acquire', 'the wait for the lock was given up', {
    cause: signal.reason,
  });
}

async function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  throwIfAborted(signal);
  await new Promise<void>((resolve) => {
    const done = (): void => {
      signal.removeEventListener('abort', done);
      resolve();
    };
    signal.addEventListener('abort', done);
    void promise.then(done);
  });
  throwIfAborted(signal);
}
