import { createServer, request as httpRequest, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream';

/** A server on loopback that knows its connections. */
export interface TestOrigin {
  readonly url: string;
  /** Connections open now. */
  readonly open: number;
  /** Most connections open at once. */
  readonly peak: number;
  /** Connections accepted so far. */
  readonly accepted: number;
  close(): Promise<void>;
}

/** An HTTP origin on loopback. */
export async function startOrigin(answer: RequestListener): Promise<TestOrigin> {
  return await watch(createServer(answer));
}

/** An origin that speaks bytes: `answer` is called with each whole request head. */
export async function startRawOrigin(
  answer: (socket: Socket, head: string) => void,
): Promise<TestOrigin> {
  return await watch(
    createTcpServer((socket) => {
      let head = '';
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        head += chunk.toString('latin1');
        if (!head.includes('\r\n\r\n')) return;
        const whole = head;
        head = '';
        answer(socket, whole);
      });
    }) as unknown as Server,
  );
}

/** How a test peer behaves beside relaying what its origin says. */
export interface TestPeerOptions {
  readonly token: string;
  /** Lines of every head that came, without the first. */
  readonly seen?: Record<string, string>[];
}

/** A server that answers as a peer does: it relays the target's path from `origin`, the status in a field. */
export async function startPeer(origin: string, options: TestPeerOptions): Promise<TestOrigin> {
  return await startOrigin((request, response) => {
    const target = URL.parse(String(request.headers['caje-target']));
    if (request.headers.authorization !== `Bearer ${options.token}` || target === null) {
      response.writeHead(401).end();
      return;
    }
    options.seen?.push(request.headers as Record<string, string>);
    const method = String(request.headers['caje-method']);
    const headers = Object.fromEntries(
      Object.entries(request.headers).filter(
        ([name]) => !/^(caje-|authorization$|host$|connection$|cache-control$)/.test(name),
      ),
    );
    const path = target.pathname + target.search;
    const asked = httpRequest(origin + path, { method, headers, agent: false });
    asked.on('error', () => response.destroy());
    asked.on('response', (answer) => {
      const lines = answer.rawHeaders;
      const kept: string[] = [];
      for (let i = 0; i < lines.length; i += 2) {
        const name = lines[i] ?? '';
        if (/^(connection|keep-alive|transfer-encoding)$/i.test(name)) continue;
        const size = method === 'HEAD' && /^content-length$/i.test(name);
        kept.push(size ? 'Caje-Size' : name, lines[i + 1] ?? '');
      }
      response.writeHead(200, ['Caje-Status', String(answer.statusCode), ...kept]);
      pipeline(answer, response, () => {});
    });
    response.on('close', () => asked.destroy());
    asked.end();
  });
}

async function watch(server: Server): Promise<TestOrigin> {
  const sockets = new Set<Socket>();
  let peak = 0;
  let accepted = 0;
  server.on('connection', (socket: Socket) => {
    accepted += 1;
    sockets.add(socket);
    peak = Math.max(peak, sockets.size);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get open() {
      return sockets.size;
    },
    get peak() {
      return peak;
    },
    get accepted() {
      return accepted;
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
