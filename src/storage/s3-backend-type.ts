import { z } from 'zod';
import { type ComponentType, componentType } from '../component.ts';
import { duration, httpUrl, readSecret, type Secret, secret } from '../values.ts';
import type { Backend } from './backend.ts';
import { BODY_CACHE } from './body-cache.ts';
import { PINS } from './eviction.ts';
import { NODE_DATABASE } from './node-database.ts';
import {
  limitsOf,
  type QuotaKeys,
  quotaKeys,
  WATERS_IN_ORDER,
  watersAreInOrder,
} from './quota-options.ts';
import { S3_LIMITS } from './s3-limits.ts';

interface S3Options extends QuotaKeys {
  readonly verify: boolean;
  readonly endpoint?: URL | undefined;
  readonly region: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly forcePathStyle: boolean;
  readonly checksums: 'required' | 'supported';
  readonly sse?: 'AES256' | 'aws:kms' | undefined;
  readonly sseKeyId?: string | undefined;
  readonly storageClass?: string | undefined;
  readonly timeouts: {
    readonly connect?: number | undefined;
    readonly answer?: number | undefined;
    readonly idle?: number | undefined;
    readonly copy?: number | undefined;
  };
  readonly credentials?:
    | {
        readonly accessKeyId: string;
        readonly secretAccessKey: Secret;
        readonly sessionToken?: Secret | undefined;
      }
    | undefined;
  readonly profile?: string | undefined;
}

/** Objects of these classes have to be asked back for minutes to hours before they can be read. */
const NOT_AT_ONCE = /^(GLACIER|DEEP_ARCHIVE)$/;

/** Bytes that one copy on the server may have: where a test wants copies of many parts without gigabytes. */
const COPY_LIMIT_VARIABLE = 'CAJE_TEST_S3_COPY_LIMIT';

const s3Options: z.ZodType<S3Options> = z
  .strictObject({
    verify: z.boolean().default(true).describe('check each block before it is sent'),
    ...quotaKeys(),
    endpoint: httpUrl().optional().describe('base URL of the store; absent: AWS, by region'),
    region: z.string().min(1).default('us-east-1').describe('region that requests are signed for'),
    bucket: z.string().min(1).describe('bucket; it must exist'),
    prefix: z.string().default('').describe('what all keys begin with'),
    forcePathStyle: z
      .boolean()
      .default(false)
      .describe('put the bucket into the path, not into the host name'),
    checksums: z
      .enum(['required', 'supported'])
      .default('supported')
      .describe('required: only where an operation demands them, as older stores need'),
    sse: z
      .enum(['AES256', 'aws:kms'])
      .optional()
      .describe('how the store encrypts what is written; absent: as the bucket says'),
    sseKeyId: z
      .string()
      .min(1)
      .optional()
      .describe("key of sse: aws:kms; absent: the account's own"),
    storageClass: z
      .string()
      .regex(/^[A-Z][A-Z0-9_]*$/, 'expected a storage class such as STANDARD_IA')
      .refine((name) => !NOT_AT_ONCE.test(name), 'objects of this class cannot be read at once')
      .optional()
      .describe('storage class of bodies, such as STANDARD_IA; absent: as the bucket says'),
    timeouts: z
      .strictObject({
        connect: duration().optional().describe('until a connection stands; 5s'),
        answer: duration().optional().describe('until a call is answered or a body begins; 10s'),
        idle: duration().optional().describe('that a body may stand still; 30s'),
        copy: duration().optional().describe('of a copy on the server; 5m'),
      })
      .prefault({}),
    credentials: z
      .strictObject({
        accessKeyId: z.string().min(1).describe('access key'),
        secretAccessKey: secret().describe('secret key, or { file: PATH }'),
        sessionToken: secret().optional().describe('of temporary credentials'),
      })
      .optional()
      .describe(
        'absent: environment, shared credentials file, container or instance, in the order of the AWS SDK',
      ),
    profile: z.string().min(1).optional().describe('section of the shared credentials file'),
  })
  .refine((options) => options.credentials === undefined || options.profile === undefined, {
    path: ['profile'],
    message: 'give either credentials or profile, not both',
  })
  .refine((options) => options.sseKeyId === undefined || options.sse === 'aws:kms', {
    path: ['sseKeyId'],
    message: 'a key needs sse: aws:kms',
  })
  .refine(watersAreInOrder, WATERS_IN_ORDER);

/** `type: s3`: a bucket of S3 or of a compatible store. */
export const s3BackendType: ComponentType<unknown, Backend> = componentType<S3Options, Backend>({
  kind: 'backend',
  type: 's3',
  options: s3Options,
  create: async (options, context) => {
    const { name, clock, log, metrics, nodeId, baseDir } = context;
    const { region, bucket, prefix, forcePathStyle, checksums, profile, verify } = options;
    const { sse, sseKeyId, storageClass, timeouts } = options;
    const limits = {
      connectMs: timeouts.connect ?? S3_LIMITS.connectMs,
      answerMs: timeouts.answer ?? S3_LIMITS.answerMs,
      idleMs: timeouts.idle ?? S3_LIMITS.idleMs,
      copyMs: timeouts.copy ?? S3_LIMITS.copyMs,
    };
    const credentials = options.credentials && {
      accessKeyId: options.credentials.accessKeyId,
      secretAccessKey: await readSecret(options.credentials.secretAccessKey, baseDir),
      sessionToken:
        options.credentials.sessionToken &&
        (await readSecret(options.credentials.sessionToken, baseDir)),
    };
    // The SDK takes a moment to load: only who names an S3 store waits for it.
    const { S3Backend } = await import('./s3-backend.ts');
    return new S3Backend({
      ...{ name, clock, log, metrics, nodeId, verify },
      ...{ region, bucket, prefix, forcePathStyle, checksums, credentials, profile },
      ...{ sse, sseKeyId, storageClass, limits },
      endpoint: options.endpoint?.href,
      quota: limitsOf(options),
      pins: context.service(PINS),
      copyLimit: Number(process.env[COPY_LIMIT_VARIABLE]) || undefined,
      database: context.service(NODE_DATABASE),
      cache: context.service(BODY_CACHE),
    });
  },
});
