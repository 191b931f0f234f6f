import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a pretended LiteFS says. */
export interface LiteFsSays {
  isPrimary: boolean;
  /** Absent: it knows none. */
  primary: string | undefined;
  /** Transaction of each database. */
  readonly txids: Map<string, bigint>;
  /** Whether each database is locked by a writer. */
  isLocked: boolean;
}

/** The HTTP API of a LiteFS that is not there, as far as caje asks it. */
export class LiteFsApi implements AsyncDisposable {
  readonly says: LiteFsSays = {
    isPrimary: true,
    primary: 'n1',
    txids: new Map(),
    isLocked: false,
  };
  readonly #server: Server;
  readonly #listeners = new Set<ServerResponse>();

  private constructor() {
    this.#server = createServer((request, response) => {
      if (request.url === '/events') {
        this.#listeners.add(response.once('close', () => this.#listeners.delete(response)));
        response.write(this.#event('init'));
        return;
      }
      const { isPrimary, primary, txids, isLocked } = this.says;
      const locks = { reserved: isLocked ? 'exclusive' : 'unlocked' };
      const dbs = Object.fromEntries(
        [...txids].map(([name, txid]) => [
          name,
          { txid: txid.toString(16).padStart(16, '0'), locks },
        ]),
      );
      const answers: Record<string, object> = {
        '/info': { isPrimary, candidate: true, primary: { hostname: primary ?? '' } },
        '/debug/vars': { store: { dbs } },
      };
      const answer = answers[request.url ?? ''];
      response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? {}));
    });
  }

  static async start(): Promise<LiteFsApi> {
    const api = new LiteFsApi();
    api.#server.listen(0, '127.0.0.1');
    await once(api.#server, 'listening');
    return api;
  }

  /** It has another primary from now on, and says so to who listens. */
  choose(isPrimary: boolean, primary: string | undefined): void {
    Object.assign(this.says, { isPrimary, primary });
    for (const listener of this.#listeners) listener.write(this.#event('primaryChange'));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #event(type: string): string {
    const { isPrimary, primary: hostname = '' } = this.says;
    return `${JSON.stringify({ type, data: { isPrimary, hostname } })}\n`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
