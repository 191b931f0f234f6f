import { Agent, createServer, get, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How often each node is asked whether it is ready. Milliseconds. */
const CHECK_MS = 100;

/** A balancer that sends each request to the next node that says it is ready, and tries nothing twice. */
export class Balancer implements AsyncDisposable {
  readonly #targets: readonly string[];
  readonly #ready = new Set<string>();
  readonly #agent = new Agent({ keepAlive: false });
  readonly #server: Server;
  readonly #timer: NodeJS.Timeout;
  #next = 0;

  private constructor(targets: readonly string[]) {
    this.#targets = targets;
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
    this.#server = createServer((req, res) => {
      const ready = targets.filter((url) => this.#ready.has(url));
      const target = ready[this.#next++ % ready.length];
      if (target === undefined) {
        res.writeHead(503).end('no node is ready');
        return;
      }
      const { method, headers, url = '/' } = req;
      const asked = httpRequest(target + url, { method, headers, agent: this.#agent });
      asked.on('error', () => res.destroy());
      asked.on('response', (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.on('error', () => res.destroy());
        answer.pipe(res);
      });
      asked.end();
    });
  }

  /** Starts one before the public listeners at these addresses. */
  static async start(targets: readonly string[]): Promise<Balancer> {
    const balancer = new Balancer(targets);
    await new Promise<void>((resolve) => balancer.#server.listen(0, '127.0.0.1', resolve));
    return balancer;
  }

  /** Such as `http://127.0.0.1:40001`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many nodes said that they are ready when they were last asked. */
  get ready(): number {
    return this.#ready.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await closed;
  }

  #check(): void {
    for (const url of this.#targets) {
      const asked = get(`${url}/_caje/readyz`, { agent: this.#agent }, (answer) => {
        if (answer.statusCode === 200) this.#ready.add(url);
        else this.#ready.delete(url);
        answer.resume();
      });
      asked.on('error', () => this.#ready.delete(url));
    }
  }
}
