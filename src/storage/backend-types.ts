import { resolve } from 'node:path';
import { z } from 'zod';
import { type ComponentContext, type ComponentType, componentType } from '../component.ts';
import {
  type Amount,
  httpUrl,
  readSecret,
  type Secret,
  secret,
  size,
  sizeOrPercentage,
} from '../values.ts';
import type { Backend } from './backend.ts';
import { BODY_CACHE } from './body-cache.ts';
import { DiskBackend } from './disk-backend.ts';
import { MemoryBackend } from './memory-backend.ts';
import { NODE_DATABASE } from './node-database.ts';

interface CommonOptions {
  readonly verify: boolean;
  readonly maxBytes?: number | undefined;
}

interface DiskOptions extends CommonOptions {
  readonly path: string;
  readonly keepFree?: Amount | undefined;
}

interface S3Options extends CommonOptions {
  readonly endpoint?: URL | undefined;
  readonly region: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly forcePathStyle: boolean;
  readonly checksums: 'required' | 'supported';
  readonly credentials?:
    | {
        readonly accessKeyId: string;
        readonly secretAccessKey: Secret;
        readonly sessionToken?: Secret | undefined;
      }
    | undefined;
  readonly profile?: string | undefined;
}

const common = {
  verify: z.boolean().default(true).describe('check each block before it is sent'),
  maxBytes: size().optional().describe('largest size of the store; accepted, not yet enforced'),
};

const diskOptions: z.ZodType<DiskOptions> = z.strictObject({
  ...common,
  path: z
    .string()
    .min(1)
    .default('blobs')
    .describe('folder of the bodies; relative paths start from the data folder'),
  keepFree: sizeOrPercentage()
    .optional()
    .describe('free space that writes leave; absent: the larger of 5% and 1GiB; 0: none'),
});

const memoryOptions: z.ZodType<CommonOptions> = z.strictObject(common);

const s3Options: z.ZodType<S3Options> = z
  .strictObject({
    ...common,
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
  });

/** `type: disk`: a folder of this machine. */
export const diskBackendType: ComponentType<unknown, Backend> = componentType<DiskOptions, Backend>(
  {
    kind: 'backend',
    type: 'disk',
    options: diskOptions,
    create: (options, context) => {
      sayMaxBytes(options, context);
      const { name, clock, log, metrics, dataDir } = context;
      const { verify, keepFree } = options;
      const root = resolve(dataDir, options.path);
      const database = context.service(NODE_DATABASE);
      const cache = context.service(BODY_CACHE);
      return new DiskBackend({
        name,
        root,
        database,
        cache,
        clock,
        log,
        metrics,
        verify,
        keepFree,
      });
    },
  },
);

/** `type: memory`: this process's memory. */
export const memoryBackendType: ComponentType<unknown, Backend> = componentType<
  CommonOptions,
  Backend
>({
  kind: 'backend',
  type: 'memory',
  options: memoryOptions,
  create: (options, context) => {
    sayMaxBytes(options, context);
    const { name, clock, log, metrics } = context;
    return new MemoryBackend({ name, clock, log, metrics, verify: options.verify });
  },
});

/** `type: s3`: a bucket of S3 or of a compatible store. */
export const s3BackendType: ComponentType<unknown, Backend> = componentType<S3Options, Backend>({
  kind: 'backend',
  type: 's3',
  options: s3Options,
  create: async (options, context) => {
    sayMaxBytes(options, context);
    const { name, clock, log, metrics, nodeId, baseDir } = context;
    const { region, bucket, prefix, forcePathStyle, checksums, profile, verify } = options;
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
      endpoint: options.endpoint?.href,
      database: context.service(NODE_DATABASE),
      cache: context.service(BODY_CACHE),
    });
  },
});

/** The types of backend that come with caje. */
export function createBackendTypes(): readonly ComponentType<unknown, Backend>[] {
  return [diskBackendType, memoryBackendType, s3BackendType];
}

function sayMaxBytes({ maxBytes }: CommonOptions, { log }: ComponentContext): void {
  if (maxBytes !== undefined) log.info({ maxBytes }, 'maxBytes is not yet enforced');
}
