import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  S3Client,
  type S3ClientConfig,
  UploadPartCommand,
} from '@aws-sdk/client-s3';

/**
 * Answers `/put/KEY?from=URL` once what the URL gives lies under the key, put there by the SDK in parts of 8 MiB, two at a time.
 * The argument: bucket and options of the client, as JSON.
 */
const { bucket: Bucket, ...options } = JSON.parse(process.argv[2] ?? '') as S3ClientConfig & {
  readonly bucket: string;
};
const PART = 8 * 1024 * 1024;
const PARALLEL = 2;
const client = new S3Client(options);

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
  const from = searchParams.get('from') ?? '';
  put(pathname.slice('/put/'.length), from).then(
    (bytes) => response.end(String(bytes)),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
});
server.requestTimeout = 0;
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});

async function put(Key: string, from: string): Promise<number> {
  const [source] = (await once(get(from), 'response')) as [IncomingMessage];
  const at = { Bucket, Key };
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(at));
  const sent: Promise<{ ETag: string | undefined; PartNumber: number }>[] = [];
  let bytes = 0;
  for await (const Body of parts(source)) {
    const PartNumber = sent.length + 1;
    const command = new UploadPartCommand({ ...at, UploadId, PartNumber, Body });
    sent.push(client.send(command).then(({ ETag }) => ({ ETag, PartNumber })));
    await sent.at(-PARALLEL);
    bytes += Body.length;
  }
  const MultipartUpload = { Parts: await Promise.all(sent) };
  await client.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload }));
  return bytes;
}

async function* parts(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let part = Buffer.allocUnsafe(PART);
  let filled = 0;
  for await (const chunk of source) {
    for (let from = 0; from < chunk.length; ) {
      const copied = chunk.copy(part, filled, from);
      from += copied;
      filled += copied;
      if (filled < PART) continue;
      yield part;
      part = Buffer.allocUnsafe(PART);
      filled = 0;
    }
  }
  if (filled > 0) yield part.subarray(0, filled);
}
