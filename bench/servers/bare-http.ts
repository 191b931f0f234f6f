import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

// The least that node:http can do for a hit: 1 KiB from memory with the fields that a cached answer has.
const BODY = Buffer.alloc(1024, 'x');
const HEADERS = [
  ...['Content-Type', 'application/octet-stream', 'Content-Length', String(BODY.length)],
  ...['Cache-Control', 'public, max-age=3600', 'ETag', '"bare"', 'Age', '1', 'X-Cache', 'HIT'],
];

const server = createServer((_request, response) => {
  response.writeHead(200, HEADERS);
  response.end(BODY);
});
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
