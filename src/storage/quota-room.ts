import type { CallOptions } from '../body.ts';
import type { Incoming, Sealed } from './backend.ts';
import type { Digest } from './digest.ts';
import { sealedOf } from './incoming-bytes.ts';
import type { Quota } from './quota.ts';
import type { Reservation } from './reservation.ts';

/** How often the room of a body of unknown length follows it. */
const FOLLOW_MS = 25;

/** What is waited for before a body that has room is taken for whole. */
export interface HoldOptions {
  readonly op: string;
  held(digest: Digest): Promise<void>;
}

/** How a body is kept that has room. */
export interface RoomyOptions extends CallOptions {
  /** Absent: there is no quota. */
  readonly room?: Reservation | undefined;
}

/**
 * Runs `keep` with a body that is whole and has room in a quota: from before its first byte where its length was announced,
 * else as it grows. The room is given back when `keep` is done, which must have put the body on record by then.
 * Throws as `Quota.reserve` as soon as there is no room, as `sealedOf`, and what `keep` throws.
 */
export async function withRoom<T>(
  quota: Quota | undefined,
  incoming: Incoming,
  { op, ...options }: CallOptions & { readonly op: string },
  keep: (sealed: Sealed) => Promise<T>,
): Promise<T> {
  if (quota === undefined) return await keep(await sealedOf(incoming, op, options));
  return await inRoom(quota, incoming, options, async (room) => {
    const follower = new Follower(room, incoming, options);
    let sealed: Sealed;
    try {
      sealed = await Promise.race([sealedOf(incoming, op, options), follower.refused]);
    } finally {
      await follower.stop();
    }
    await room.resize(sealed.size, options);
    return await keep(sealed);
  });
}

/**
 * As `withRoom`, but `keep` runs while the body comes; its `sealed` resolves when there is room for all of it and `held` has
 * resolved. Where there is no room any more `keep` is aborted.
 */
export async function whileInRoom<T>(
  quota: Quota,
  incoming: Incoming,
  { op, held, ...options }: CallOptions & HoldOptions,
  keep: (incoming: Incoming, options: RoomyOptions) => Promise<T>,
): Promise<T> {
  return await inRoom(quota, incoming, options, async (room) => {
    const stop = new AbortController();
    const outer = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([...outer, stop.signal]);
    const follower = new Follower(room, incoming, { signal });
    const admitted = async (): Promise<Sealed> => {
      const sealed = await sealedOf(incoming, op, { signal });
      await follower.stop();
      await room.resize(sealed.size, { signal });
      await held(sealed.digest);
      return sealed;
    };
    const keeping = keep(delayed(incoming, admitted()), { signal, room });
    try {
      return await Promise.race([keeping, follower.refused]);
    } finally {
      await follower.stop();
      stop.abort();
      // What it has begun there counts until it is gone.
      await keeping.catch(() => undefined);
    }
  });
}

async function inRoom<T>(
  quota: Quota,
  incoming: Incoming,
  options: CallOptions,
  use: (room: Reservation) => Promise<T>,
): Promise<T> {
  const coming = quota.reserve(incoming.expectedSize ?? 0, options);
  incoming.waitForRoom?.(coming);
  const room = await coming;
  try {
    return await use(room);
  } finally {
    room.release();
  }
}

/** Lets the room of a body grow with it where its length was not announced. */
class Follower {
  /** Rejects as soon as there is no more room. */
  readonly refused: Promise<never>;
  readonly #timer: NodeJS.Timeout | undefined;
  #following: Promise<void> | undefined;

  constructor(room: Reservation, incoming: Incoming, options: CallOptions) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.refused = promise;
    promise.catch(() => undefined);
    if (incoming.expectedSize !== undefined) return;
    this.#timer = setInterval(() => {
      this.#following ??= room
        .resize(incoming.received ?? 0, options)
        .catch(reject)
        .finally(() => {
          this.#following = undefined;
        });
    }, FOLLOW_MS).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#following;
  }
}

function delayed(incoming: Incoming, sealed: Promise<Sealed>): Incoming {
  sealed.catch(() => undefined);
  return {
    sealed,
    expectedSize: incoming.expectedSize,
    get bytes() {
      return incoming.bytes;
    },
    open: (options) => incoming.open(options),
  };
}
