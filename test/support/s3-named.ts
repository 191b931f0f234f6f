import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { S3Server } from './s3-server.ts';

/** A server that is already there: its buckets stay, and it can be neither ended nor looked into from outside. */
export interface NamedS3Server extends S3Server {
  /** Changes one bit of an object through the API. */
  flip(bucket: string, key: string, offset: number): Promise<void>;
}

/**
 * The server that CAJE_TEST_S3_ENDPOINT, _ACCESS_KEY and _SECRET_KEY name (_REGION: `us-east-1` if absent), to try the
 * backend on another make than the tests' own. Absent: none is named.
 */
export function namedS3Server(): NamedS3Server | undefined {
  const named = (name: string): string => process.env[`CAJE_TEST_S3_${name}`] ?? '';
  const endpoint = named('ENDPOINT');
  if (endpoint === '') return undefined;
  const region = named('REGION') || 'us-east-1';
  const credentials = { accessKeyId: named('ACCESS_KEY'), secretAccessKey: named('SECRET_KEY') };
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
  const run = Date.now().toString(36);
  let buckets = 0;
  const stop = async (): Promise<void> => client.destroy();
  return {
    endpoint,
    region,
    ...credentials,
    dataFolder: '',
    createBucket: async (name = `caje-test-${run}-${++buckets}`) => {
      await client.send(new CreateBucketCommand({ Bucket: name }));
      return name;
    },
    removeObject: async (Bucket, Key) => {
      await client.send(new DeleteObjectCommand({ Bucket, Key }));
    },
    openUploads: async (Bucket) => {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }));
      return Uploads.map(({ Key = '' }) => Key);
    },
    flip: async (Bucket, Key, offset) => {
      const { Body, ContentType, Metadata } = await client.send(
        new GetObjectCommand({ Bucket, Key }),
      );
      const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
      bytes[offset] = (bytes[offset] ?? 0) ^ 1;
      await client.send(new PutObjectCommand({ Bucket, Key, ContentType, Metadata, Body: bytes }));
    },
    kill: notOurs,
    start: notOurs,
    pause: notOurs,
    resume: notOurs,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function notOurs(): never {
  throw new Error('this server was not started here');
}
