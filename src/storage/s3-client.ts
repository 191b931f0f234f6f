import { S3Client } from '@aws-sdk/client-s3';
import { reasonOf, type S3Place } from './s3-errors.ts';
import { S3_LIMITS, type S3Limits } from './s3-limits.ts';
import { LeanAgent, LeanTlsAgent } from './s3-sockets.ts';

/** Where a bucket is, how it is spoken to, and what becomes of what is written. */
export interface S3ClientOptions extends S3Place {
  /** True: the bucket is the first part of the path, not of the host name. */
  readonly forcePathStyle?: boolean | undefined;
  /** `required`: checksums are sent only where an operation demands them, as older stores need. Absent: wherever possible. */
  readonly checksums?: 'required' | 'supported' | undefined;
  /** Absent: the SDK's own chain: environment, shared files, container, instance. */
  readonly credentials?:
    | {
        readonly accessKeyId: string;
        readonly secretAccessKey: string;
        readonly sessionToken?: string | undefined;
      }
    | undefined;
  /** Section of the shared credentials file. Absent: as the environment says. */
  readonly profile?: string | undefined;
  /** How the store encrypts what is written. Absent: as the bucket says. */
  readonly sse?: 'AES256' | 'aws:kms' | undefined;
  /** Key of `aws:kms`. Absent: the account's own. */
  readonly sseKeyId?: string | undefined;
  /** Of bodies; what lies beside them is small or soon gone. Absent: as the bucket says. */
  readonly storageClass?: string | undefined;
  /** Time limits other than the usual ones. */
  readonly limits?: S3Limits | undefined;
}

/** The first try is one of them. Between them the SDK waits by chance: at most 0.1 s, then twice as much. */
export const MAX_TRIES: number = 3;
/** A slow client holds a connection as long as it reads; the SDK's 50 would be used up by as many. */
const MAX_SOCKETS = 512;
/** The SDK begins to look at an idle socket this late, unless its limit is short. */
const SDK_DEFERS_MS = 3_000;
const SDK_SHORT_MS = 6_000;

/** Makes the SDK's client; it is the owner's to destroy. `isPatient`: for calls during which the store may say nothing for long. */
export function createS3Client(options: S3ClientOptions, isPatient = false): S3Client {
  const checksums = options.checksums === 'required' ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED';
  const { connectMs, idleMs } = options.limits ?? S3_LIMITS;
  const socketTimeout = idleMs > SDK_SHORT_MS + SDK_DEFERS_MS ? idleMs - SDK_DEFERS_MS : idleMs;
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS };
  const client = new S3Client({
    region: options.region,
    forcePathStyle: options.forcePathStyle ?? false,
    requestChecksumCalculation: checksums,
    // What is read is checked against its own digest, block by block, which says more than the store's checksum.
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: MAX_TRIES,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout: connectMs,
      socketTimeout: isPatient ? 0 : socketTimeout,
      httpAgent: new LeanAgent(agent),
      httpsAgent: new LeanTlsAgent(agent),
    },
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    ...(options.profile !== undefined && { profile: options.profile }),
    ...(options.credentials !== undefined && {
      credentials: {
        accessKeyId: options.credentials.accessKeyId,
        secretAccessKey: options.credentials.secretAccessKey,
        ...(options.credentials.sessionToken !== undefined && {
          sessionToken: options.credentials.sessionToken,
        }),
      },
    }),
  });
  const strategy = client.config.retryStrategy;
  client.config.retryStrategy = async () => withoutTimeouts(await strategy());
  return client;
}

type Strategy = Awaited<ReturnType<S3Client['config']['retryStrategy']>>;

/** The SDK's own, but a limit that was reached is not waited for again. */
function withoutTimeouts(strategy: Strategy): Strategy {
  if (!('refreshRetryTokenForRetry' in strategy)) return strategy;
  return {
    acquireInitialRetryToken: async (scope) => await strategy.acquireInitialRetryToken(scope),
    refreshRetryTokenForRetry: async (token, info) => {
      const error: unknown = info.error;
      if (reasonOf(error) === 'silent') throw error;
      return await strategy.refreshRetryTokenForRetry(token, info);
    },
    recordSuccess: (token) => strategy.recordSuccess(token),
  };
}
