import { createHash, timingSafeEqual } from 'node:crypto';
import { ProxyError } from '../errors.ts';

/** A secret that one peer may show, kept only as its SHA-256. */
export interface PeerToken {
  /** Name of the peer, for the log. */
  readonly name: string;
  /** 32 bytes. */
  readonly hash: Buffer;
}

/** Shortest secret taken, in characters. */
const MIN_TOKEN_LENGTH = 16;

/** A peer's token from its secret. Throws `invalid` for one that could be guessed. */
export function peerToken(name: string, secret: string): PeerToken {
  if (secret.length < MIN_TOKEN_LENGTH)
    throw new ProxyError(
      'invalid',
      'peer-tokens',
      `the token of peer ${name} must have at least ${MIN_TOKEN_LENGTH} characters`,
    );
  if (!/^[\x21-\x7e]+$/.test(secret))
    throw new ProxyError(
      'invalid',
      'peer-tokens',
      `the token of peer ${name} must be of visible ASCII characters: no peer could send another`,
    );
  return { name, hash: sha256(secret) };
}

/** The peer that an Authorization field belongs to. Absent: none. Takes the same time whichever token it is compared with. */
export function peerOf(
  authorization: string | undefined,
  tokens: readonly PeerToken[],
): string | undefined {
  const secret = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization ?? '')?.[1];
  const shown = sha256(secret ?? '');
  let found: string | undefined;
  for (const { name, hash } of tokens)
    if (timingSafeEqual(hash, shown) && secret !== undefined) found ??= name;
  return found;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
