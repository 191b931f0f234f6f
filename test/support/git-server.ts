import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { cleanEnv } from './run-caje.ts';

/** One request that reached the server, tunnels not counted. */
export interface GitRequest {
  readonly method: string;
  readonly host: string;
  /** With its query. */
  readonly path: string;
  /** User of the Authorization field. Absent: none was sent. */
  readonly user: string | undefined;
  /** True: it asked for objects, as a clone does. */
  readonly objects: boolean;
}

/** How a git server is started. */
export interface GitServerOptions {
  /** Bare repositories lie in it by their path. */
  readonly root: string;
  /** PEM texts. Absent: no https. */
  readonly tls?: { readonly key: string; readonly cert: string } | undefined;
}

/**
 * Git repositories over http and https on loopback, by `git http-backend`. The http listener is a forward proxy too: a tunnel
 * to whatever host ends at the https listener, so that made-up host names work.
 */
export class GitServer implements AsyncDisposable {
  /** In order of arrival. */
  readonly requests: GitRequest[] = [];
  /** Hosts that tunnels were asked for. */
  readonly tunnels: string[] = [];
  /** `user:password` by the first element of the path that needs it. */
  readonly protected: Map<string, string> = new Map<string, string>();
  /** Address of a repository by the module prefix that `?go-get=1` tells. */
  readonly imports: Map<string, string> = new Map<string, string>();
  /** True: requests are taken and never answered. */
  hangs = false;
  /** Status that each request is answered with. Absent: what the repository says. */
  fails: number | undefined;
  readonly #root: string;
  readonly #http: Server;
  readonly #https: TlsServer | undefined;
  readonly #sockets = new Set<Socket>();

  private constructor({ root, tls }: GitServerOptions) {
    this.#root = root;
    const take = (request: IncomingMessage, response: ServerResponse): void => {
      this.#answer(request, response).catch(() => response.destroy());
    };
    this.#http = createServer(take);
    this.#https = tls && createTlsServer(tls, take);
    this.#http.on('connect', (request: IncomingMessage, socket: Socket) => {
      this.#tunnel(request, socket);
    });
  }

  static async start(options: GitServerOptions): Promise<GitServer> {
    const server = new GitServer(options);
    for (const one of [server.#http, server.#https]) {
      if (one === undefined) continue;
      one.on('connection', (socket: Socket) => {
        server.#sockets.add(socket);
        socket.on('error', () => {}).on('close', () => server.#sockets.delete(socket));
      });
      await once(one.listen(0, '127.0.0.1'), 'listening');
    }
    return server;
  }

  /** Such as `http://127.0.0.1:40001`; also the address of the forward proxy. */
  get url(): string {
    return `http://127.0.0.1:${portOf(this.#http)}`;
  }

  /** Such as `https://127.0.0.1:40002`. */
  get tlsUrl(): string {
    return `https://127.0.0.1:${portOf(this.#https)}`;
  }

  /** How often objects were asked for: each clone or fetch once. */
  get clones(): number {
    return this.requests.filter(({ objects }) => objects).length;
  }

  /** Forgets what was asked so far. */
  reset(): void {
    this.requests.length = 0;
    this.tunnels.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = [this.#http, this.#https].map(
      async (server) => server && (await new Promise((resolve) => server.close(resolve))),
    );
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  #tunnel(request: IncomingMessage, socket: Socket): void {
    this.tunnels.push(request.url ?? '');
    const far = connect(portOf(this.#https), '127.0.0.1');
    this.#sockets.add(far);
    far.on('close', () => socket.destroy()).on('error', () => socket.destroy());
    socket.on('close', () => far.destroy());
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    far.pipe(socket).pipe(far);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', headers } = request;
    const url = new URL(request.url ?? '', 'http://none');
    const sent = await buffer(request);
    const body = headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
    const user = credentialsOf(headers.authorization);
    this.requests.push({
      method,
      host: headers.host ?? '',
      path: url.pathname + url.search,
      user: user?.split(':', 1)[0],
      objects: method === 'POST' && body.includes('command=fetch'),
    });
    if (this.hangs) return;
    if (this.fails !== undefined) {
      response.writeHead(this.fails).end();
      return;
    }
    const needed = this.protected.get(url.pathname.split('/')[1] ?? '');
    if (needed !== undefined && needed !== user) {
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="git"' }).end('who are you?');
      return;
    }
    if (url.searchParams.has('go-get'))
      this.#tellImport(`${headers.host}${url.pathname}`, response);
    else await this.#runBackend(request, url, body, response);
  }

  #tellImport(path: string, response: ServerResponse): void {
    const found = [...this.imports].find(
      ([prefix]) => path === prefix || path.startsWith(`${prefix}/`),
    );
    if (found === undefined) {
      response.writeHead(404).end('no such page');
      return;
    }
    response.end(
      `<html><head><meta name="go-import" content="${found[0]} git ${found[1]}"></head>`,
    );
  }

  async #runBackend(
    request: IncomingMessage,
    url: URL,
    body: Buffer,
    response: ServerResponse,
  ): Promise<void> {
    const child = spawn('git', ['http-backend'], {
      env: cleanEnv({
        GIT_PROJECT_ROOT: this.#root,
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        REQUEST_METHOD: request.method ?? '',
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        CONTENT_LENGTH: String(body.length),
      }),
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    child.stdin.on('error', () => {}).end(body);
    const output = await buffer(child.stdout);
    const end = output.indexOf('\r\n\r\n');
    for (const line of output.subarray(0, end).toString().split('\r\n')) {
      const [, name = '', value = ''] = /^([^:]+): (.*)$/.exec(line) ?? [];
      if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
      else if (name !== '') response.setHeader(name, value);
    }
    response.end(output.subarray(end + 4));
  }
}

function portOf(server: Server | TlsServer | undefined): number {
  const address = server?.address() as AddressInfo | null | undefined;
  if (!address) throw new Error('this listener is not open');
  return address.port;
}

function credentialsOf(field: string | undefined): string | undefined {
  const [, coded] = /^Basic (.+)$/.exec(field ?? '') ?? [];
  return coded === undefined ? undefined : Buffer.from(coded, 'base64').toString();
}
