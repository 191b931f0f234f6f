import { type AddressInfo, createServer } from 'node:net';

// What a socket costs by itself: each read that ends a request is answered with the same bytes. Not an HTTP server.
const BODY = Buffer.alloc(1024, 'x');
const HEAD = [
  'HTTP/1.1 200 OK',
  'Content-Type: application/octet-stream',
  `Content-Length: ${BODY.length}`,
  'Cache-Control: public, max-age=3600',
  'ETag: "bare"',
  'Age: 1',
  'X-Cache: HIT',
];
const ANSWER = Buffer.concat([Buffer.from(`${HEAD.join('\r\n')}\r\n\r\n`), BODY]);

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', () => socket.write(ANSWER));
  socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
