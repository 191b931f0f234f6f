import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A repository that modules come from without asking their host where it is. */
export interface VcsRepository {
  /** Module path that the repository's root has, and the first part of the paths of those in its folders. */
  readonly prefix: string;
  readonly url: URL;
}

/** The repository whose prefix is the longest that fits. Absent: none fits. */
export function repositoryOf(
  repositories: readonly VcsRepository[],
  module: string,
): VcsRepository | undefined {
  let found: VcsRepository | undefined;
  for (const one of repositories) {
    const fits = module === one.prefix || module.startsWith(`${one.prefix}/`);
    if (fits && one.prefix.length > (found?.prefix.length ?? 0)) found = one;
  }
  return found;
}

/**
 * Answers the go command's `?go-get=1` for mapped modules in place of their hosts: a forward proxy on loopback that knows
 * nothing else, refuses tunnels, and wants the password in its own address.
 */
export class GoImports implements AsyncDisposable {
  readonly #repositories: readonly VcsRepository[];
  readonly #secret: string = randomBytes(16).toString('hex');
  readonly #server: Server;
  #listening: Promise<unknown> | undefined;

  constructor(repositories: readonly VcsRepository[]) {
    this.#repositories = repositories;
    this.#server = createServer((request, response) => this.#answer(request, response));
    // The go command then asks without TLS, as GOINSECURE allows it to.
    this.#server.on('connect', (_, socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'));
    this.#server.unref();
  }

  /** What HTTP_PROXY and HTTPS_PROXY are set to; listens from the first call on. */
  async proxy(): Promise<string> {
    this.#listening ??= once(this.#server.listen(0, '127.0.0.1'), 'listening');
    await this.#listening;
    const { port } = this.#server.address() as AddressInfo;
    return `http://caje:${this.#secret}@127.0.0.1:${port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#listening === undefined) return;
    await this.#listening.catch(() => undefined);
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const expected = `Basic ${Buffer.from(`caje:${this.#secret}`).toString('base64')}`;
    const url = URL.parse(request.url ?? '');
    const path = url === null ? '' : `${url.hostname}${url.pathname}`;
    const found = repositoryOf(this.#repositories, path);
    if (request.headers['proxy-authorization'] !== expected || found === undefined) {
      response.writeHead(404).end();
      return;
    }
    const content = `${found.prefix} git ${found.url.href}`;
    const quoted = content.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
    response.end(`<html><head><meta name="go-import" content="${quoted}"></head></html>`);
  }
}
