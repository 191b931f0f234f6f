import type { CallOptions } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Incoming, Sealed } from './backend.ts';
import { digestOf } from './digest.ts';
import { checkSignal } from './verified-body.ts';

/** What `incoming.sealed` resolves with, or `aborted` as soon as the caller gives up. */
export async function sealedOf(
  incoming: Incoming,
  op: string,
  { signal }: CallOptions,
): Promise<Sealed> {
  checkSignal(signal, op);
  if (signal === undefined) return await incoming.sealed;
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      try {
        checkSignal(signal, op);
      } catch (error) {
        reject(error as Error);
      }
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([incoming.sealed, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** All bytes of a sealed body that is small enough for memory. Throws `integrity` when they are not what was sealed. */
export async function bytesOfIncoming(
  incoming: Incoming,
  sealed: Sealed,
  options: CallOptions,
): Promise<Buffer> {
  const known = incoming.bytes;
  if (known?.length === sealed.size) return known;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming.open(options) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > sealed.size) break;
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  if (length === sealed.size && digestOf(bytes) === sealed.digest) return bytes;
  throw new ProxyError(
    'integrity',
    'incoming-bytes.read',
    `${sealed.digest}: other bytes came than were sealed`,
  );
}
