import { BLOCK_SIZE } from '../body.ts';
import { kindOf, ProxyError } from '../errors.ts';
import type { Fetched } from '../fetchers/fetcher.ts';

/** Whose word it is that a body has a digest, and the digest in hex. Absent, or resolved to absent: there is none. */
export interface Expected {
  readonly kind: 'pinned' | 'promised';
  readonly digest: Promise<string | undefined> | undefined;
}

/** Bytes that an answer announces. Absent: it does not. */
export function contentLength(fetched: Fetched): number | undefined {
  const text = fetched.headers.get('content-length');
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The digest that a body must have: the pinned one goes before what the sender promises. */
export function expected(fetched: Fetched, pinned: string | undefined): Expected {
  if (pinned !== undefined) return { kind: 'pinned', digest: Promise.resolve(pinned) };
  return { kind: 'promised', digest: fetched.promisedDigest };
}

/**
 * Whether the whole may be hashed behind, by a thread: each of its blocks is compared with its own digest before anybody gets it.
 * Its last byte still waits for the digest of the whole.
 */
export function isHashedBehind(fetched: Fetched, size: number | undefined): boolean {
  return fetched.checkedBlocks !== undefined && size !== undefined && size > BLOCK_SIZE;
}

/** What a body failed with, for those who read it. */
export function asProxyError(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error;
  if (error instanceof Error && error.name === 'AbortError' && error.cause instanceof ProxyError)
    return error.cause;
  const kind = kindOf(error);
  return new ProxyError(
    kind === 'internal' ? 'upstream' : kind,
    'fill.run',
    'the body was cut short',
    { cause: error },
  );
}
