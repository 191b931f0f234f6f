import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { drained } from '../support/drained.ts';
import { pieceAt } from '../support/pattern.ts';

// An origin whose bodies arrive as the path says, and which counts what it is asked:
//   /first/BYTES/PAUSE_MS/ID    the first 16 KiB at once, the rest after a pause
//   /over/BYTES/MS/ID           evenly over a time
//   /full/BYTES/ID              as fast as it can
//   /counts                     requests by path, as JSON
const FIRST_BYTES = 16 * 1024;
const STEPS = 64;
const counts = new Map<string, number>();

async function send(response: ServerResponse, from: number, to: number): Promise<void> {
  for (let offset = from; offset < to && !response.destroyed; ) {
    const piece = pieceAt(offset, to);
    offset += piece.length;
    if (!response.write(piece)) await drained(response);
  }
}

async function answer(path: string, response: ServerResponse): Promise<void> {
  const [, kind, size, wait] = path.split('/');
  const bytes = Number(size);
  counts.set(path, (counts.get(path) ?? 0) + 1);
  response.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': bytes,
    'Cache-Control': 'public, max-age=36000',
    ETag: `"${path}"`,
  });
  if (kind === 'first') {
    await send(response, 0, Math.min(FIRST_BYTES, bytes));
    await delay(Number(wait));
    await send(response, FIRST_BYTES, bytes);
  } else if (kind === 'over') {
    const startedAt = performance.now();
    for (let step = 1; step <= STEPS; step++) {
      const due = startedAt + (Number(wait) * step) / STEPS;
      await delay(Math.max(0, due - performance.now()));
      await send(
        response,
        Math.floor((bytes * (step - 1)) / STEPS),
        Math.floor((bytes * step) / STEPS),
      );
    }
  } else {
    await send(response, 0, bytes);
  }
  response.end();
}

const server = createServer({ noDelay: true }, (request, response) => {
  const path = request.url ?? '/';
  if (path === '/counts') {
    response.end(JSON.stringify(Object.fromEntries(counts)));
    return;
  }
  if (!/^\/(first|over)\/\d+\/\d+\/|^\/full\/\d+\//.test(path)) {
    response.writeHead(404).end();
    return;
  }
  answer(path, response).catch(() => response.destroy());
});
server.keepAliveTimeout = 600_000;
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
