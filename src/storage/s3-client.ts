import { S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { codeOf, kindOf, messageOf, ProxyError } from '../errors.ts';

/** Where a bucket is and how it is spoken to. */
export interface S3ClientOptions {
  /** Base URL of the store. Absent: AWS, by region. */
  readonly endpoint?: string | undefined;
  readonly region: string;
  readonly bucket: string;
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
  /** Time limits other than the usual ones. */
  readonly limits?: S3Limits | undefined;
}

/** How long the store may take. */
export interface S3Limits {
  /** Milliseconds until a connection stands. */
  readonly connectMs: number;
  /** Milliseconds without a byte in either direction; so also until the first one. */
  readonly idleMs: number;
}

const LIMITS: S3Limits = { connectMs: 5_000, idleMs: 30_000 };
/** The first try is one of them. */
export const MAX_TRIES: number = 3;
/** A slow client holds a connection as long as it reads; the SDK's 50 would be used up by as many. */
const MAX_SOCKETS = 512;
/** Names of a 404 that speak of an object or upload, not of a bucket or user; an answer to HEAD has no name of its own. */
const ABSENT: ReadonlySet<string> = new Set([
  'NoSuchKey',
  'NoSuchUpload',
  'NotFound',
  'NoSuchVersion',
  'Unknown',
  '404',
  '',
]);

/** Makes the SDK's client; it is the owner's to destroy. */
export function createS3Client(options: S3ClientOptions): S3Client {
  const checksums = options.checksums === 'required' ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED';
  const { connectMs, idleMs } = options.limits ?? LIMITS;
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS };
  return new S3Client({
    region: options.region,
    forcePathStyle: options.forcePathStyle ?? false,
    requestChecksumCalculation: checksums,
    // What is read is checked against its own digest, block by block, which says more than the store's checksum.
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: MAX_TRIES,
    requestHandler: {
      connectionTimeout: connectMs,
      socketTimeout: idleMs,
      httpAgent: agent,
      httpsAgent: agent,
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
}

/** HTTP status of an answer that the SDK made an error of. Absent: there was no answer. */
export function statusOf(error: unknown): number | undefined {
  if (error instanceof ProxyError) return statusOf(error.cause);
  if (!(error instanceof Error)) return undefined;
  const { $metadata: metadata } = error as { $metadata?: { httpStatusCode?: number } };
  return metadata?.httpStatusCode;
}

/** Whether the store answered and refused: it works, but not for this. */
export function isRefusal(error: unknown): boolean {
  const status = statusOf(error);
  return status === 507 || (status !== undefined && status >= 400 && status < 500);
}

/**
 * An error of the SDK in caje's words, judged by status first. `not-found`: the object or upload is not there;
 * `conflict`: a condition was not met; `unavailable`: everything else that the store says or does not say.
 */
export function s3Error(op: string, options: S3ClientOptions, cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  if (kindOf(cause) === 'aborted')
    return new ProxyError('aborted', op, 'the caller gave up', { cause });
  const status = statusOf(cause);
  const name = cause instanceof S3ServiceException ? cause.name : '';
  if (status === 404 && ABSENT.has(name))
    return new ProxyError('not-found', op, messageOf(cause), { cause });
  if (status === 412 || status === 409)
    return new ProxyError('conflict', op, messageOf(cause), { cause });
  if (status === 416)
    return new ProxyError('integrity', op, 'the object is shorter than it was', { cause });
  const where = options.endpoint ?? `AWS ${options.region}`;
  return new ProxyError(
    'unavailable',
    op,
    `S3 at ${where}: ${explain(options, status, name, cause)}`,
    { cause },
  );
}

function explain(
  options: S3ClientOptions,
  status: number | undefined,
  name: string,
  cause: unknown,
): string {
  switch (name) {
    case 'NoSuchBucket':
      return `bucket "${options.bucket}" does not exist`;
    case 'InvalidAccessKeyId':
    case 'XAdminUserNotFound':
      return 'the access key is not known there; check credentials.accessKeyId';
    case 'SignatureDoesNotMatch':
      return 'the secret key does not fit the access key; check credentials.secretAccessKey';
    case 'AccessDenied':
      return `access to bucket "${options.bucket}" is denied for these credentials`;
    case 'CredentialsProviderError':
      return `no credentials were found: ${messageOf(cause)}`;
  }
  if (status === 507 || name === 'QuotaExceeded') return 'the store is full';
  if (status === undefined) return `${codeOf(cause) ?? ''} ${messageOf(cause)}`.trim();
  return `answered ${status} ${name}`.trim();
}
