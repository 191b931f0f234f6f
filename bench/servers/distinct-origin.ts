import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pieceAt } from '../support/pattern.ts';

// An origin without a disk: /BYTES/NAME answers so many bytes that begin with the path, so that no two bodies are alike.
const server = createServer({ noDelay: true }, ({ url = '/' }, response) => {
  const bytes = Number(/^\/(\d+)\//.exec(url)?.[1] ?? Number.NaN);
  if (!(bytes >= url.length)) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Content-Length': bytes,
    'Cache-Control': 'public, max-age=36000',
    ETag: `"${url}"`,
  });
  response.write(url);
  for (let offset = url.length; offset < bytes; ) {
    const piece = pieceAt(offset, bytes);
    response.write(piece);
    offset += piece.length;
  }
  response.end();
});
server.keepAliveTimeout = 600_000;
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
