import type { ErrorRecord } from './thread-error.ts';

/** From the owner to the thread: requests numbered from `first`, or the wish to finish. */
export type ToThread<Request> =
  | { readonly first: number; readonly requests: readonly Request[] }
  | { readonly close: true };

/** One answer, by the number of its request. */
export type Reply<Response> =
  | { readonly id: number; readonly value: Response }
  | { readonly id: number; readonly error: ErrorRecord };

/** From the thread to its owner: answers, and things that nobody asked for, which come first. */
export interface FromThread<Response, Event> {
  readonly replies: readonly Reply<Response>[];
  /** Absent: none. */
  readonly events?: readonly Event[] | undefined;
}
