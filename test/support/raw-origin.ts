import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

/** What a raw origin does with one request: writes to the socket, ends or resets it, or nothing. `number`: from 1, of this connection. */
export type RawAnswer = (socket: Socket, path: string, number: number) => void;

/** An origin that speaks as the test says, byte for byte, and counts what it was asked. */
export class RawOrigin implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  readonly #asked: Map<string, number>;

  private constructor(server: Server, sockets: Set<Socket>, asked: Map<string, number>) {
    this.#server = server;
    this.#sockets = sockets;
    this.#asked = asked;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(answer: RawAnswer): Promise<RawOrigin> {
    const sockets = new Set<Socket>();
    const asked = new Map<string, number>();
    const server = createServer((socket) => {
      sockets.add(socket);
      let requests = 0;
      let text = '';
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
      socket.on('data', (bytes: Buffer) => {
        text += bytes.toString('latin1');
        for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
          const path = text.split(' ', 2)[1] ?? '';
          text = text.slice(end + 4);
          requests += 1;
          asked.set(path, (asked.get(path) ?? 0) + 1);
          answer(socket, path, requests);
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new RawOrigin(server, sockets, asked);
  }

  /** Requests for this path so far. */
  asked(path: string): number {
    return this.#asked.get(path) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
