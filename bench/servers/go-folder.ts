import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';

// A module registry: the files of a folder in GOPROXY layout, each after a while, and how many were asked for.
//   /RUN/PATH       the file; RUN is a number that only makes the address another one
//   /count          requests so far
//   /latency/MS     from now on an answer begins after so many milliseconds
const TYPES: Readonly<Record<string, string>> = {
  zip: 'application/zip',
  info: 'application/json',
};
const folder = process.argv[2] as string;
let count = 0;
let latencyMs = 0;

async function answer(path: string, response: ServerResponse): Promise<void> {
  count++;
  if (latencyMs > 0) await delay(latencyMs);
  const file = join(folder, normalize(decodeURIComponent(path)));
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) {
    response
      .writeHead(404, { 'Content-Type': 'text/plain' })
      .end('not found: not in this folder\n');
    return;
  }
  response.writeHead(200, {
    'Content-Type': TYPES[file.slice(file.lastIndexOf('.') + 1)] ?? 'text/plain; charset=utf-8',
    'Content-Length': found.size,
    'Cache-Control': 'public, max-age=10800',
    ETag: `"${found.size}-${found.mtimeMs}"`,
  });
  await pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), response);
}

const server = createServer({ noDelay: true }, (request, response) => {
  const path = request.url ?? '/';
  const setting = /^\/latency\/(\d+)$/.exec(path)?.[1];
  if (setting !== undefined) latencyMs = Number(setting);
  if (setting !== undefined || path === '/count') {
    response.end(String(count));
    return;
  }
  answer(path.replace(/^\/\d+\//, '/'), response).catch(() => response.destroy());
});
server.keepAliveTimeout = 600_000;
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
