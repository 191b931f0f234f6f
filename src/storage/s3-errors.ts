import { S3ServiceException } from '@aws-sdk/client-s3';
import { codeOf, kindOf, messageOf, ProxyError } from '../errors.ts';

/** What a bucket may let somebody do, and each be refused by itself. */
export type S3Right = 'read' | 'write' | 'list' | 'delete';

/** Which bucket a failure is about, for its message. */
export interface S3Place {
  /** Base URL of the store. Absent: AWS, by region. */
  readonly endpoint?: string | undefined;
  readonly region: string;
  readonly bucket: string;
}

/** Why a store did not do what it was asked, as counted. */
export type S3Reason =
  | 'away'
  | 'bucket'
  | 'clock'
  | 'denied'
  | 'expired'
  | 'failed'
  | 'full'
  | 'key'
  | 'region'
  | 'silent';

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
const ACTIONS: Readonly<Record<S3Right, string>> = {
  read: 'read objects of bucket',
  write: 'write objects to bucket',
  list: 'list bucket',
  delete: 'delete objects of bucket',
};
const PERMISSIONS: Readonly<Record<S3Right, string>> = {
  read: 's3:GetObject',
  write: 's3:PutObject',
  list: 's3:ListBucket',
  delete: 's3:DeleteObject',
};

/** HTTP status of an answer that the SDK made an error of. Absent: there was no answer. */
export function statusOf(error: unknown): number | undefined {
  if (error instanceof ProxyError) return statusOf(error.cause);
  if (!(error instanceof Error)) return undefined;
  const { $metadata: metadata } = error as { $metadata?: { httpStatusCode?: number } };
  return metadata?.httpStatusCode;
}

/** How often a call that failed was sent. */
export function attemptsOf(error: unknown): number {
  const cause = error instanceof ProxyError ? error.cause : error;
  const { $metadata: metadata } = (cause ?? {}) as { $metadata?: { attempts?: number } };
  return metadata?.attempts ?? 1;
}

/** Whether the store answered and refused: it works, but not for this. */
export function isRefusal(error: unknown): boolean {
  const status = statusOf(error);
  return status === 507 || (status !== undefined && status >= 400 && status < 500);
}

/** Whether what was refused will be refused to the next call as well. A 400 speaks of one request, but for some names. */
export function isLasting(error: unknown): boolean {
  const cause = error instanceof ProxyError ? error.cause : error;
  return isRefusal(error) && (statusOf(error) !== 400 || reasonOf(cause) !== 'failed');
}

/** Why a call failed, from what the SDK threw. */
export function reasonOf(cause: unknown): S3Reason {
  const status = statusOf(cause);
  switch (cause instanceof Error ? cause.name : '') {
    case 'NoSuchBucket':
      return 'bucket';
    case 'InvalidAccessKeyId':
    case 'XAdminUserNotFound':
    case 'SignatureDoesNotMatch':
    case 'CredentialsProviderError':
      return 'key';
    case 'ExpiredToken':
    case 'ExpiredTokenException':
    case 'TokenRefreshRequired':
    case 'InvalidToken':
      return 'expired';
    case 'RequestTimeTooSkewed':
    case 'RequestInTheFuture':
    case 'RequestExpired':
      return 'clock';
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return 'region';
    case 'QuotaExceeded':
    case 'InsufficientStorage':
      return 'full';
    case 'TimeoutError':
      return codeOf(cause) === undefined ? 'silent' : 'away';
  }
  if (status === 507) return 'full';
  if (status === 301 || status === 307) return 'region';
  if (status === 401 || status === 403) return 'denied';
  return status === undefined ? 'away' : 'failed';
}

/**
 * An error of the SDK in caje's words, judged by status first. `not-found`: the object or upload is not there;
 * `conflict`: a condition was not met; `unavailable`: everything else that the store says or does not say.
 * `right` is what the call needed.
 */
export function s3Error(op: string, place: S3Place, cause: unknown, right: S3Right): ProxyError {
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
  const text = `S3 at ${whereOf(place)}: ${explain(place, cause, right)}`;
  return new ProxyError('unavailable', op, text, { cause });
}

/** Names the store in a message. */
export function whereOf({ endpoint, region }: S3Place): string {
  return endpoint ?? `AWS ${region}`;
}

function explain({ bucket, region }: S3Place, cause: unknown, right: S3Right): string {
  const status = statusOf(cause);
  const name = cause instanceof Error ? cause.name : '';
  switch (reasonOf(cause)) {
    case 'bucket':
      return `bucket "${bucket}" does not exist`;
    case 'key':
      return explainKey(name, cause);
    case 'expired':
      return 'the credentials have expired; give new ones, or let the SDK find those that renew themselves';
    case 'clock':
      return "the clock of this machine differs too much from the store's; set it, such as by NTP";
    case 'region': {
      const home = homeOf(cause);
      const right_ = home === undefined ? 'the one of the bucket' : `"${home}"`;
      return `bucket "${bucket}" is not reached by region "${region}" and this endpoint; set region to ${right_}`;
    }
    case 'full':
      return 'the store is full';
    case 'denied':
      return `access is denied: these credentials may not ${ACTIONS[right]} "${bucket}" (${PERMISSIONS[right]})`;
    case 'silent':
      return 'does not answer';
    case 'away':
      return `${codeOf(cause) ?? ''} ${messageOf(cause)}`.trim();
    case 'failed':
      return `answered ${status} ${name}`.trim();
  }
}

function explainKey(name: string, cause: unknown): string {
  if (name === 'SignatureDoesNotMatch')
    return 'the secret key does not fit the access key; check credentials.secretAccessKey';
  if (name === 'CredentialsProviderError') return `no credentials were found: ${messageOf(cause)}`;
  return 'the access key is not known there; check credentials.accessKeyId';
}

/** The region that the store names instead, in the document or in the head of its answer. */
function homeOf(cause: unknown): string | undefined {
  const { Region, $response: response } = cause as {
    Region?: unknown;
    $response?: { headers?: Readonly<Record<string, string>> };
  };
  return typeof Region === 'string' ? Region : response?.headers?.['x-amz-bucket-region'];
}
