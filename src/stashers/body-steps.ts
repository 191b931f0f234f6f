import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import asStream from 'stream-chain/asStream.js';
import gen from 'stream-chain/gen.js';
import type { Body } from '../body.ts';
import { ProxyError } from '../errors.ts';
import type { Sealed } from '../storage/backend.ts';
import { SMALL_BODY } from '../storage/small-body.ts';
import { BodyHash } from './body-hash.ts';

/** What a body is checked against on its way. */
export interface BodyChecks {
  /** Bytes announced. Absent: not announced. */
  readonly expectedSize?: number | undefined;
  /** SHA-256 in hex that it must have; may become known only with the last byte. Absent, or resolved to absent: none promised. */
  readonly promised?: Promise<string | undefined> | undefined;
  /** As in `BodyHash`, for a body that has as many blocks. Absent: they are hashed here. */
  readonly knownBlocks?: Buffer | undefined;
  /** Called when the promised digest is not met, before the error. */
  onMismatch?(found: string, promised: string): void;
}

/** Takes the next bytes of a body; a promise holds it back until it resolves. */
type Take = (piece: Buffer) => Promise<void> | undefined;

type Step = (piece: Buffer) => Buffer;

const BYTES = { readableObjectMode: false, writableObjectMode: false } as const;

/**
 * Leads a body through its steps (count, limit, SHA-256 of each block and of the whole, verification) into `take`, which may
 * hold it back by a promise. Resolves with the digests of a body that is whole; rejects with `integrity` for a wrong length or
 * digest, else with what the body failed with. The body is destroyed in each case but the first.
 */
export async function passBody(body: Body, checks: BodyChecks, take: Take): Promise<Sealed> {
  const hash = new BodyHash(checks.knownBlocks);
  const digest: Step = (piece) => {
    hash.update(piece);
    return piece;
  };
  await pass(body, checks, [digest], take);
  const sealed = hash.seal();
  await checkDigest(sealed, checks);
  return sealed;
}

/** The same for a body that is hashed elsewhere: count and limit. Resolves with its bytes. */
export async function countBody(body: Body, checks: BodyChecks, take: Take): Promise<number> {
  return await pass(body, checks, [], take);
}

/** Throws `integrity` for a body that does not have the digest that was promised. */
export async function checkDigest(
  { digest }: Pick<Sealed, 'digest'>,
  { promised: promise, onMismatch }: BodyChecks,
): Promise<void> {
  const promised = await promise;
  if (promised === undefined || promised === digest) return;
  onMismatch?.(digest, promised);
  throw new ProxyError(
    'integrity',
    'body.verify',
    'the body does not have the digest that was promised',
  );
}

async function pass(
  body: Body,
  { expectedSize }: BodyChecks,
  more: readonly Step[],
  take: Take,
): Promise<number> {
  let size = 0;
  const count: Step = (piece) => {
    size += piece.length;
    return piece;
  };
  const limit: Step = (piece) => {
    if (expectedSize !== undefined && size > expectedSize)
      throw new ProxyError('integrity', 'body.count', 'the body is longer than announced');
    return piece;
  };
  const steps = [count, limit, ...more];
  // A body announced to be small is a piece or two: streams of its own would cost more than everything else about it.
  if (expectedSize !== undefined && expectedSize <= SMALL_BODY) await drain(body, steps, take);
  else await pipeline(body, asStream(gen(...steps), BYTES), sink(take));
  if (expectedSize !== undefined && size !== expectedSize)
    throw new ProxyError(
      'integrity',
      'body.count',
      `the body has ${size} bytes, announced were ${expectedSize}`,
    );
  return size;
}

// As the pipeline does: the first failure destroys the body, and a body that closes before its end has failed.
async function drain(body: Body, steps: readonly Step[], take: Take): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let whole = false;
  body.on('data', (piece: Buffer) => {
    try {
      const wait = take(steps.reduce((bytes, step) => step(bytes), piece));
      if (!wait) return;
      body.pause();
      wait.then(
        () => body.resume(),
        (error: Error) => body.destroy(error),
      );
    } catch (error) {
      body.destroy(error as Error);
    }
  });
  body.once('end', () => {
    whole = true;
    resolve();
  });
  body.once('error', reject);
  body.once('close', () => {
    if (!whole) reject(new ProxyError('upstream', 'body.drain', 'the body was cut short'));
  });
  if (body.destroyed)
    reject(body.errored ?? new ProxyError('upstream', 'body.drain', 'the body was cut short'));
  await promise;
}

function sink(take: Take): Writable {
  return new Writable({
    highWaterMark: 256 * 1024,
    write(piece: Buffer, _encoding, callback) {
      const wait = take(piece);
      if (wait) wait.then(() => callback(), callback);
      else callback();
    },
  });
}
