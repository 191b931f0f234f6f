import type { CallOptions } from '../body.ts';
import type { Incoming, Sealed } from './backend.ts';
import { sealedOf } from './incoming-bytes.ts';
import type { Quota, Reservation } from './quota.ts';

/** How often the room of a body of unknown length follows it. */
const FOLLOW_MS = 25;

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
  const coming = quota.reserve(incoming.expectedSize ?? 0, options);
  incoming.waitForRoom?.(coming);
  const room = await coming;
  try {
    const sealed = await sealedInRoom(room, incoming, op, options);
    await room.resize(sealed.size, options);
    return await keep(sealed);
  } finally {
    room.release();
  }
}

async function sealedInRoom(
  room: Reservation,
  incoming: Incoming,
  op: string,
  options: CallOptions,
): Promise<Sealed> {
  if (incoming.expectedSize !== undefined) return await sealedOf(incoming, op, options);
  const refused = Promise.withResolvers<never>();
  refused.promise.catch(() => undefined);
  let following: Promise<void> | undefined;
  const timer = setInterval(() => {
    following ??= room
      .resize(incoming.received ?? 0, options)
      .catch((error: unknown) => refused.reject(error))
      .finally(() => {
        following = undefined;
      });
  }, FOLLOW_MS).unref();
  try {
    return await Promise.race([sealedOf(incoming, op, options), refused.promise]);
  } finally {
    clearInterval(timer);
    await following;
  }
}
