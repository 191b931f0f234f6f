import type { CallOptions } from '../body.ts';

/** How room is made larger or smaller. */
export interface ResizeOptions extends CallOptions {
  /** Bytes of the body, where room is wanted for more than it. Absent: it is not. */
  readonly body?: number | undefined;
}

/** Room for one body on its way. */
export interface Reservation {
  /** Makes it room for `size` bytes in all; less gives some back. Throws as `Quota.reserve`. */
  resize(size: number, options?: ResizeOptions): Promise<void>;
  /** Gives all of it back: the body is on record now, or will not be. Again does nothing. */
  release(): void;
}
