import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
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

  private constructor() {
    this.#server = createServer((request, response) => {
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

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}
