import type { Clock } from '../clock.ts';
import type { Fetched, Fetcher, InterimListener } from '../fetchers/fetcher.ts';
import type { Entry, EntryDraft } from '../manifest/entry.ts';
import type { Fill } from '../stashers/fill.ts';
import type { Stasher } from '../stashers/stasher.ts';
import type { FillMode, NetworkMode } from './fill-modes.ts';
import type { ForwardReason, PeerAsk } from './protocol.ts';
import type { Head } from './resource.ts';

/** What one fetch brought, for the one who began it and for all who wait. */
export type Arrival =
  | {
      readonly kind: 'filling';
      readonly fill: Fill;
      readonly draft: EntryDraft;
      readonly head: Head;
      readonly kept: boolean;
    }
  | { readonly kind: 'confirmed'; readonly entry: Entry; readonly status: number }
  | { readonly kind: 'stale'; readonly entry: Entry; readonly status: number | undefined }
  | { readonly kind: 'unshared'; readonly fetched: Fetched; readonly head: Head };

/** Where a resource comes from and where it is kept. */
export interface Supply {
  readonly fetcher: Fetcher;
  readonly stasher: Stasher;
  /** True: nothing may be fetched for this request. */
  readonly onlyIfCached: boolean;
  /** Absent: no other node asks. */
  readonly peer?: PeerAsk | undefined;
  /** Takes interim answers. Absent: nobody does. */
  readonly interim?: InterimListener | undefined;
  /** Absent: `sync`. */
  readonly mode?: FillMode | undefined;
  /** Absent: `online`. */
  readonly network?: NetworkMode | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What is already known when something has to be fetched. */
export interface Ask {
  /** Stored answer to be asked about. Absent: the whole is wanted. */
  readonly entry: Entry | undefined;
  /** Other variants, whose tags are sent where none fits. Absent: there is none. */
  readonly others?: readonly Entry[] | undefined;
  /** Digest that a 200's body must have, because its first copy had it. Absent: any. */
  readonly pinned?: string | undefined;
  /** True: the client's own conditions are sent, so that the answer is for it alone. */
  readonly own?: boolean | undefined;
  readonly vary: readonly string[];
  readonly reason: ForwardReason;
}

/** Lets go of what nobody will read. */
export function drop(arrival: Arrival): void {
  if (arrival.kind === 'unshared') arrival.fetched.body.destroy();
}

/** The head of what has just been fetched, with its times in milliseconds since the epoch. */
export function headOf(fetched: Fetched, requestedAt: number, clock: Clock): Head {
  const receivedAt = clock.now();
  return {
    status: fetched.status,
    headers: fetched.headers,
    source: fetched.source,
    requestedAt,
    receivedAt,
    clockAhead: clock.ahead?.() ?? 0,
    complete: fetched.complete !== false,
  };
}
