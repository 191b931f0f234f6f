import { createHash } from 'node:crypto';
import { ProxyError } from '../errors.ts';

/** SHA-256 of a whole body, 64 lower-case hex characters. Only `parseDigest` and the hashing helpers make one. */
export type Digest = string & { readonly __digest: unique symbol };

const HEX = /^[0-9a-f]{64}$/;

/** The one door from text to `Digest`. Throws `invalid` for anything else (`..`, upper case, other lengths). */
export function parseDigest(text: string): Digest {
  if (!HEX.test(text)) throw new ProxyError('invalid', 'digest.parse', `not a SHA-256 in hex: ${JSON.stringify(text.slice(0, 80))}`);
  return text as Digest;
}

/** Whether `parseDigest` would take it. */
export function isDigest(text: string): text is Digest {
  return HEX.test(text);
}

/** Digest of bytes that are all at hand. */
export function digestOf(bytes: Uint8Array): Digest {
  return createHash('sha256').update(bytes).digest('hex') as Digest;
}
