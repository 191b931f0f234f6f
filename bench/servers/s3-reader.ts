import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GetObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';

/** Answers `/bare/KEY` with an object as the SDK gives it, unchecked. The argument: bucket and options of the client, as JSON. */
const { bucket, ...options } = JSON.parse(process.argv[2] ?? '') as S3ClientConfig & {
  readonly bucket: string;
};
const client = new S3Client(options);

const server = createServer((request, response) => {
  const key = (request.url ?? '').slice('/bare/'.length);
  void answer(key, response).catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});

async function answer(key: string, response: ServerResponse): Promise<void> {
  const found = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
  response.writeHead(200, { 'content-length': String(found.ContentLength) });
  await pipeline(found.Body as Readable, response);
}
