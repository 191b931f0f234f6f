import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { drained } from '../support/drained.ts';
import {
  readZipModulePath,
  type ZipModule,
  zipModuleMod,
  zipModulePieces,
} from '../support/go-zip-module.ts';

// A module registry whose zips arrive at the speed that the module's name says, and which counts what it is asked:
// all paths of support/go-zip-module.ts, and /counts for requests by path, as JSON.
const STEP_BYTES = 64 * 1024;
const counts = new Map<string, number>();

async function sendZip(
  module: ZipModule,
  version: string,
  response: ServerResponse,
): Promise<void> {
  const pieces = zipModulePieces(module, version);
  const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
  response.writeHead(200, fields('application/zip', size, version));
  const startedAt = performance.now();
  let sent = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length && !response.destroyed; at += STEP_BYTES) {
      const dueMs = module.bytesPerSecond === 0 ? 0 : (sent / module.bytesPerSecond) * 1000;
      const early = startedAt + dueMs - performance.now();
      if (early > 0) await delay(early);
      const step = piece.subarray(at, at + STEP_BYTES);
      sent += step.length;
      if (!response.write(step)) await drained(response);
    }
  }
  response.end();
}

function fields(type: string, size: number, version: string): Record<string, string | number> {
  return {
    'Content-Type': type,
    'Content-Length': size,
    'Cache-Control': 'public, max-age=10800',
    ETag: `"${version}"`,
  };
}

async function answer(path: string, response: ServerResponse): Promise<void> {
  const asked = readZipModulePath(path);
  counts.set(path, (counts.get(path) ?? 0) + 1);
  if (asked === undefined) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found: no such module\n');
    return;
  }
  const { module, version, ending } = asked;
  if (ending === 'zip') {
    await sendZip(module, version, response);
    return;
  }
  const info = JSON.stringify({ Version: version, Time: '2024-01-02T03:04:05Z' });
  const body = ending === 'info' ? info : zipModuleMod(module);
  const type = ending === 'info' ? 'application/json' : 'text/plain; charset=utf-8';
  response.writeHead(200, fields(type, Buffer.byteLength(body), version)).end(body);
}

const server = createServer({ noDelay: true }, (request, response) => {
  const path = request.url ?? '/';
  if (path === '/counts') {
    response.end(JSON.stringify(Object.fromEntries(counts)));
    return;
  }
  answer(path.replace(/^\/\d+\//, '/'), response).catch(() => response.destroy());
});
server.keepAliveTimeout = 600_000;
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
