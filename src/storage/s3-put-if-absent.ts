import { randomUUID } from 'node:crypto';
import { HeadObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import type { CallOptions } from '../body.ts';
import { codeOf, messageOf, ProxyError } from '../errors.ts';
import type { S3Connection } from './s3-connection.ts';
import { attemptsOf, statusOf } from './s3-errors.ts';

/** Metadata that says which put an object came by: one whose answer was lost knows its own again. */
const PUT_ID = 'caje-put';
/** A store that has the body answers before it has read it and closes, which may break the connection off before that is read. */
const BROKEN: ReadonlySet<string | undefined> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);

interface Put {
  readonly to: S3Connection;
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly id: string;
}

/**
 * Writes a body as an object. One that is there already stays, which is no failure; false then, true where this put wrote it.
 * A try that breaks off is followed by a look, so that a body which the store has is not sent again and again.
 */
export async function putIfAbsent(
  to: S3Connection,
  key: string,
  bytes: Uint8Array,
  { signal }: CallOptions,
): Promise<boolean> {
  const put: Put = { to, key, bytes, id: randomUUID() };
  try {
    return await send(put, '*', signal);
  } catch (error) {
    const status = statusOf(error);
    // A try that went unanswered may have been carried out.
    if (status === 412) return attemptsOf(error) > 1 && (await isOurs(put, signal));
    // 501: the store does not know the condition; 409: another put of the same bytes was under way.
    if (status !== 501 && status !== 409) throw error;
    return await send(put, undefined, signal);
  }
}

async function send(
  { to, key, bytes, id }: Put,
  condition: string | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const call = { verb: 'put', right: 'write', bytes: bytes.length, signal } as const;
  let found: boolean | undefined;
  const command = new PutObjectCommand({
    Bucket: to.bucket,
    Key: key,
    Body: bytes,
    ContentLength: bytes.length,
    IfNoneMatch: condition,
    Metadata: { [PUT_ID]: id },
    ...to.placement(true),
  });
  try {
    await to.call(call, async (client, options) => {
      // Within the SDK's tries: what is found ends them.
      command.middlewareStack.add(
        (next) => async (args) => {
          const tried = await settled(next(args));
          if ('value' in tried) return tried.value;
          const { error } = tried;
          if (statusOf(error) !== undefined || !BROKEN.has(codeOf(error))) throw error;
          found = await look(client, { to, key, bytes, id }, options);
          throw found === undefined ? error : new AlreadyThere();
        },
        { step: 'finalizeRequest', priority: 'low', name: 'cajeLook' },
      );
      return await client.send(command, options);
    });
    return true;
  } catch (error) {
    if (found === undefined) throw error;
    return found;
  }
}

/** Whether the body there is of this put; absent: it is not there, or that cannot be seen. */
async function look(
  client: S3Client,
  { to, key, bytes, id }: Put,
  options: object,
): Promise<boolean | undefined> {
  const command = new HeadObjectCommand({ Bucket: to.bucket, Key: key });
  command.middlewareStack.add(
    (next) => async (args) => {
      const tried = await settled(next(args));
      if ('value' in tried) return tried.value;
      // The SDK tries no error again that it does not know.
      throw new ProxyError('unavailable', 's3.head', messageOf(tried.error));
    },
    { step: 'finalizeRequest', priority: 'low', name: 'cajeOnce' },
  );
  const found = await client.send(command, options).catch(() => undefined);
  if (found?.ContentLength !== bytes.length) return undefined;
  return (found.Metadata?.[PUT_ID] ?? id) === id;
}

async function isOurs(put: Put, signal: AbortSignal | undefined): Promise<boolean> {
  const call = { verb: 'head', right: 'read', signal } as const;
  const ours = put.to.call(call, async (client, options) => await look(client, put, options));
  return (await ours.catch(() => undefined)) ?? true;
}

/** As the answer that was lost would have been. */
class AlreadyThere extends Error {
  readonly $metadata: { readonly httpStatusCode: number; attempts?: number } = {
    httpStatusCode: 412,
  };

  constructor() {
    super('the object is there');
  }
}

async function settled<T>(
  promise: Promise<T>,
): Promise<{ readonly value: T } | { readonly error: unknown }> {
  return await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
}
