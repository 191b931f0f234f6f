import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '../../src/clock.ts';
import { silentLogger } from '../../src/log.ts';
import { Metrics } from '../../src/metrics.ts';
import type { Digest } from '../../src/storage/digest.ts';
import { NodeDatabase } from '../../src/storage/node-database.ts';
import { S3Backend } from '../../src/storage/s3-backend.ts';
import type { S3BackendOptions } from '../../src/storage/s3-backend-options.ts';
import { S3Connection } from '../../src/storage/s3-connection.ts';
import { S3Objects } from '../../src/storage/s3-objects.ts';
import { S3Uploads } from '../../src/storage/s3-uploads.ts';
import type { S3Server } from './s3-server.ts';
import { tempFolder } from './temp-folder.ts';

const clock = new SystemClock();
/** The node that the backends of tests belong to. */
export const NODE: string = 'caje-0123456789abcdef';
/** What all keys of tests begin with. */
export const PREFIX: string = 'some/prefix/';

/** A bucket under test: the backend on it, and its inside. */
export interface TestBucket extends AsyncDisposable {
  readonly name: string;
  readonly folder: string;
  readonly metrics: Metrics;
  readonly objects: S3Objects;
  readonly uploads: S3Uploads;
  backend: S3Backend;
  database: NodeDatabase;
  /** Another backend on the same bucket with a node database of its own. */
  neighbour(options?: Partial<S3BackendOptions>): Promise<S3Backend>;
  reopen(): Promise<S3Backend>;
  leftovers(): Promise<string[]>;
  flip(key: string, offset: number): Promise<void>;
}

/** Key of a body in a test's bucket. */
export function bodyKey(digest: Digest, prefix: string = PREFIX): string {
  return `${prefix}sha256/${digest.slice(0, 2)}/${digest}`;
}

/** Makes a bucket and a backend on it. */
export async function openBucket(
  server: S3Server,
  more: Partial<S3BackendOptions> = {},
): Promise<TestBucket> {
  const folder = await tempFolder();
  const bucket = await server.createBucket();
  const metrics = new Metrics();
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  const credentials = { accessKeyId, secretAccessKey };
  const location = { endpoint, region, bucket, forcePathStyle: true, credentials };
  const connection = new S3Connection(location, clock);
  const objects = new S3Objects(connection);
  const uploads = new S3Uploads(connection);
  const opened: AsyncDisposable[] = [];
  const start = async (file: string, options: Partial<S3BackendOptions>) => {
    const database = await NodeDatabase.open({
      path: join(folder.path, file),
      clock,
      log: silentLogger,
    });
    const common = {
      name: 'far',
      prefix: PREFIX,
      nodeId: NODE,
      database,
      clock,
      log: silentLogger,
      metrics,
    };
    const backend = new S3Backend({ ...location, ...common, ...more, ...options });
    opened.push(database, backend);
    return { database, backend };
  };
  const close = async (): Promise<void> => {
    for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
  };
  const self: TestBucket = {
    name: bucket,
    folder: join(server.dataFolder, bucket),
    metrics,
    objects,
    uploads,
    ...(await start('node.db', {})),
    neighbour: async (options = {}) => (await start(`node-${opened.length}.db`, options)).backend,
    reopen: async () => {
      await close();
      Object.assign(self, await start('node.db', {}));
      return self.backend;
    },
    leftovers: async () => {
      const open = await uploads.list('', {});
      const staged = await objects.page(`${PREFIX}staging/`, undefined, undefined, {});
      // What health writes goes in a moment, and is there again with each store that refuses something.
      const kept = staged.objects.filter(({ key }) => !key.endsWith('.probe'));
      return [...open, ...kept].map(({ key }) => key);
    },
    flip: async (key, offset) => {
      const file = await openFile(join(server.dataFolder, bucket, key), 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, offset);
      byte[0] = (byte[0] ?? 0) ^ 1;
      await file.write(byte, 0, 1, offset);
      await file.close();
    },
    [Symbol.asyncDispose]: async () => {
      await close();
      connection.destroy();
      await folder[Symbol.asyncDispose]();
    },
  };
  return self;
}
