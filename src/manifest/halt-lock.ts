import type { CallOptions } from '../body.ts';

/** Leave to write the manifest, held until disposed. Disposing twice is harmless and never throws. */
export interface HaltLease extends AsyncDisposable {
  /** Milliseconds on the monotonic clock after which nothing may be written under this lease any more. */
  readonly deadline: number;
  /** Throws `conflict` when the lease is over or was lost. */
  assertHeld(): void;
}

/**
 * At most one holder at a time among all who use the same lock; the lock is held until the work is *done*, that is
 * until the lease is disposed, and goes when its holder dies.
 */
export interface HaltLock extends AsyncDisposable {
  readonly kind: 'none' | 'local' | 'litefs' | 'peer';
  /** Waits its turn. Throws `timeout` when it was not had in time, `aborted` when the signal was. */
  acquire(options?: CallOptions): Promise<HaltLease>;
}
