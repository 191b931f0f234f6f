import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import asStream from 'stream-chain/asStream.js';
import gen from 'stream-chain/gen.js';
import type { Body } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Sealed } from '../storage/backend.ts';
import { BodyHash } from './body-hash.ts';

/** What a body is checked against on its way. */
export interface BodyChecks {
  /** Bytes announced. Absent: not announced. */
  readonly expectedSize?: number | undefined;
  /** SHA-256 in hex that it must have; may become known only with the last byte. Absent, or resolved to absent: none promised. */
  readonly promised?: Promise<string | undefined> | undefined;
  /** Called when the promised digest is not met, before the error. */
  onMismatch?(found: string, promised: string): void;
}

type Step = (piece: Buffer) => Buffer;

/**
 * Leads a body through its steps (count, limit, SHA-256 of each block and of the whole, verification) into `take`, which may
 * hold it back by a promise. Resolves with the digests of a body that is whole; rejects with `integrity` for a wrong length or
 * digest, else with what the body failed with. The body is destroyed in each case but the first.
 */
export async function passBody(
  body: Body,
  checks: BodyChecks,
  take: (piece: Buffer) => Promise<void> | undefined,
  signal: AbortSignal,
): Promise<Sealed> {
  const hash = new BodyHash();
  let size = 0;
  const count: Step = (piece) => {
    size += piece.length;
    return piece;
  };
  const limit: Step = (piece) => {
    if (checks.expectedSize !== undefined && size > checks.expectedSize)
      throw new ProxyError('integrity', 'body.count', 'the body is longer than announced');
    return piece;
  };
  const digest: Step = (piece) => {
    hash.update(piece);
    return piece;
  };
  await pipeline(
    body,
    asStream(gen(count, limit, digest), { readableObjectMode: false, writableObjectMode: false }),
    sink(take),
    { signal },
  );
  if (checks.expectedSize !== undefined && size !== checks.expectedSize)
    throw new ProxyError(
      'integrity',
      'body.count',
      `the body has ${size} bytes, announced were ${checks.expectedSize}`,
    );
  const sealed = hash.seal();
  const promised = await checks.promised;
  if (promised !== undefined && promised !== sealed.digest) {
    checks.onMismatch?.(sealed.digest, promised);
    throw new ProxyError(
      'integrity',
      'body.verify',
      'the body does not have the digest that was promised',
    );
  }
  return sealed;
}

function sink(take: (piece: Buffer) => Promise<void> | undefined): Writable {
  return new Writable({
    highWaterMark: 256 * 1024,
    write(piece: Buffer, _encoding, callback) {
      const wait = take(piece);
      if (wait) wait.then(() => callback(), callback);
      else callback();
    },
  });
}
