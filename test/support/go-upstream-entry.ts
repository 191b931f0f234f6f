import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { EnvHttpProxyAgent } from 'undici';
import { HeaderList } from '../../src/headers.ts';
import { endToEnd } from '../../src/hop-by-hop.ts';
import type { UpstreamReport } from './go-upstream.ts';

// Hands requests on to the module proxy in argv[2] and counts them. In a process of its own: tests stay on loopback.
const target = new URL(process.argv[2] ?? '');
const base = target.pathname.replace(/\/$/, '');
const agent = new EnvHttpProxyAgent({ connections: 32 });
const requests: string[] = [];
let connections = 0;
let away = false;

const server = createServer((request, response) => {
  requests.push(request.url ?? '');
  handOn(request, response).catch(() => response.destroy());
});
server.on('connection', (socket) => {
  connections++;
  if (away) socket.resetAndDestroy();
});

process.on('message', (message: 'leave' | 'return' | 'report' | 'reset') => {
  if (message === 'leave') server.closeAllConnections();
  if (message === 'leave' || message === 'return') away = message === 'leave';
  if (message === 'reset') {
    requests.length = 0;
    connections = 0;
  }
  const report: UpstreamReport = { requests: [...requests], connections };
  process.send?.(report);
});
process.once('disconnect', () => process.exit());

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.send?.(`http://127.0.0.1:${port}`);
});

async function handOn(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { statusCode, headers, body } = await agent.request({
    origin: target.origin,
    path: base + (request.url ?? '/'),
    method: 'GET',
    headers: endToEnd(HeaderList.fromRaw(request.rawHeaders)).without('host').lines.flat(),
    responseHeaders: 'raw',
  });
  const raw = headers as unknown as (string | Buffer)[];
  response.writeHead(statusCode, endToEnd(HeaderList.fromRaw(raw)).lines.flat());
  await pipeline(body, response);
}
