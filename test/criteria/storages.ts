import { type S3Server, s3ServerMissing, startS3Server } from '../support/s3-server.ts';
import { skipUnless } from '../support/skip.ts';

/** What a configuration says about one kind of storage, and nothing else. */
export interface Storage extends AsyncDisposable {
  /** A backend's options, as below `storage.NAME`. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Storages that these options name, by name. Absent: none. */
  readonly others?: Readonly<Record<string, unknown>> | undefined;
  /** Absent: no S3. */
  readonly server?: S3Server | undefined;
}

/** The kinds of storage that criterion S1 names, and how one of each is had in a test. */
export const STORAGES: Readonly<Record<string, (context: Mocha.Context) => Promise<Storage>>> = {
  disk: async () => await local({ type: 'disk', path: 'blobs', keepFree: 0 }),
  memory: async () => await local({ type: 'memory' }),
  S3: async (context) => await onS3(context),
  tiered: async (context) => await tiered(context),
};

/** A bucket of its own on an S3 server of its own. Skips where there is none to start. */
export async function onS3(context: Mocha.Context): Promise<Storage> {
  const missing = s3ServerMissing();
  skipUnless(context, missing === undefined, missing ?? '');
  const server = await startS3Server();
  return {
    options: s3Options(server, await server.createBucket()),
    server,
    [Symbol.asyncDispose]: async () => await server.stop(),
  };
}

/** A disk before a bucket. Skips where no S3 server can be started. */
export async function tiered(context: Mocha.Context): Promise<Storage> {
  const far = await onS3(context);
  const near = { type: 'disk', path: 'blobs', keepFree: 0 };
  const options = { type: 'tiered', near: 'near', far: 'far' };
  return { ...far, options, others: { near, far: far.options } };
}

/** A backend's options for a bucket of a test's server. */
export function s3Options(
  { endpoint, region, accessKeyId, secretAccessKey }: S3Server,
  bucket: string,
): Readonly<Record<string, unknown>> {
  const credentials = { accessKeyId, secretAccessKey };
  return { type: 's3', endpoint, region, bucket, forcePathStyle: true, credentials };
}

async function local(options: Readonly<Record<string, unknown>>): Promise<Storage> {
  return await Promise.resolve({ options, [Symbol.asyncDispose]: async () => {} });
}
