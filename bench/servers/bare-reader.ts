import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';

// The least that Node can do to send a file: /plain reads and writes, /verified hashes each block before it is sent.
const BLOCK = 1024 * 1024;
const path = process.argv[2] as string;
const { size } = statSync(path);

async function verified(response: ServerResponse): Promise<void> {
  await using file = await open(path);
  for (let offset = 0; offset < size; offset += BLOCK) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(BLOCK), 0, BLOCK, offset);
    const block = buffer.subarray(0, bytesRead);
    createHash('sha256').update(block).digest();
    if (!response.write(block)) await new Promise((resolve) => response.once('drain', resolve));
  }
  response.end();
}

const server = createServer((request, response) => {
  response.writeHead(200, { 'Content-Length': size });
  const sent = request.url?.startsWith('/verified')
    ? verified(response)
    : pipeline(createReadStream(path, { highWaterMark: BLOCK }), response);
  sent.catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
