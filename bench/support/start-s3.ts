import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { type Server, startProcess } from './start-process.ts';

const PROVISIONED = fileURLToPath(new URL('../../.provision/bin/versitygw', import.meta.url));

/** An S3 server with one bucket, and how it is spoken to. */
export interface S3Store extends Server {
  readonly bucket: string;
  /** As a storage of the configuration. */
  readonly storage: Readonly<Record<string, unknown>>;
  /** A client of its own; it is the caller's to destroy. */
  connect(): S3Client;
}

/**
 * Starts versitygw on a folder, on a free port of the loopback, and makes a bucket. `sidecar`: what belongs to objects lies in
 * files, not in extended attributes, which are too short for uploads of hundreds of parts.
 */
export async function startS3(
  folder: string,
  { sidecar = false }: { readonly sidecar?: boolean } = {},
): Promise<S3Store> {
  const data = join(folder, 'data');
  const beside = join(folder, 'beside');
  await mkdir(data, { recursive: true });
  if (sidecar) await mkdir(beside);
  const port = await freePort();
  const credentials = { accessKeyId: 'bench', secretAccessKey: 'benchbench' };
  const server = await startProcess({
    command: existsSync(PROVISIONED) ? PROVISIONED : 'versitygw',
    args: [
      ...['--port', `127.0.0.1:${port}`, '--keep-alive', '--quiet', '--health', '/health'],
      ...['posix', ...(sidecar ? ['--sidecar', beside] : []), data],
    ],
    env: {
      ROOT_ACCESS_KEY: credentials.accessKeyId,
      ROOT_SECRET_KEY: credentials.secretAccessKey,
    },
    url: `http://127.0.0.1:${port}`,
  });
  const bucket = 'bench';
  const at = { endpoint: server.url, region: 'us-east-1', forcePathStyle: true, credentials };
  // The SDK notes things in what it is given.
  const connect = (): S3Client => new S3Client(structuredClone(at));
  const client = connect();
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return { ...server, bucket, connect, storage: { type: 's3', bucket, ...at } };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
