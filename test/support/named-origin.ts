import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const END = 'end\n';

/** An origin that says its name and the Host it was asked under; `/slow` goes on when it is told to. */
export class NamedOrigin implements AsyncDisposable {
  /** Such as `http://127.0.0.1:40001`. */
  readonly url: string;
  /** Targets that it was asked for. */
  readonly asked: string[] = [];
  #go: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** Starts one on a free port. */
  static async start(name: string): Promise<NamedOrigin> {
    const server = createServer((req, res) => void origin.#answer(name, req, res));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const origin = new NamedOrigin(server);
    return origin;
  }

  /** The bodies of `/slow` that wait go on. */
  go(): void {
    this.#go.resolve();
    this.#go = Promise.withResolvers();
  }

  async #answer(name: string, req: IncomingMessage, res: ServerResponse): Promise<void> {
    this.asked.push(req.url ?? '');
    const isOwn = req.headers.host === new URL(this.url).host;
    const body = `${name} ${isOwn ? 'own' : 'kept'}\n`;
    const isSlow = req.url?.startsWith('/slow') === true;
    res.writeHead(200, {
      'Cache-Control': 'max-age=600',
      'Content-Length': body.length + (isSlow ? END.length : 0),
    });
    res.write(body);
    if (isSlow) {
      await this.#go.promise;
      res.write(END);
    }
    res.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
