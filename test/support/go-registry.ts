import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { goZip } from './go-zip.ts';
import { steadyPort } from './steady-port.ts';

/** How the registry answers for one path. */
export interface GoReply {
  /** Absent: 200. */
  readonly status?: number | undefined;
  readonly body: string | Buffer | (() => Iterable<Buffer>);
  /** Content-Length. Absent: that of the body where it is known, else the body is chunked. */
  readonly size?: number | undefined;
  /** No more than so many bytes of the body are sent. */
  readonly cutAfter?: number | undefined;
  /** What follows the bytes of `cutAfter`: the connection is reset, closed or left open. Absent: it is reset. */
  readonly after?: 'reset' | 'close' | 'stall' | undefined;
  /** True: no Content-Length. Absent: where the size is known there is one. */
  readonly chunked?: boolean | undefined;
  /** Besides Content-Type and Content-Length; stand over them. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** No answer: the connection is reset, or stays open without a word. */
  readonly silent?: 'reset' | 'stall' | undefined;
  /** Sent as it is instead of all else, and the connection closed. */
  readonly raw?: string | undefined;
}

/** How a version differs from the smallest one. */
export interface GoRelease {
  /** The escaped module path. Absent: the path has nothing to escape. */
  readonly base?: string | undefined;
  /** Its go.mod. Absent: the module line alone. */
  readonly mod?: string | undefined;
  /** Its one source file. Absent: an empty package. */
  readonly go?: string | undefined;
  /** Whole files by path, besides go.mod and instead of the one source file. */
  readonly files?: Readonly<Record<string, string>> | undefined;
  /** False: the version is in no list, as a commit's. Absent: it is. */
  readonly listed?: boolean | undefined;
}

const ABSENT = 'not found: this registry has nothing of that name\n';
const EMPTY_PROGRAM = 'package main\n\nfunc main() {}\n';
const RELEASE_TIME = '2024-01-02T03:04:05Z';

/** A module proxy on loopback that answers what a test lays down, and 404 for the rest. */
export class GoRegistry implements AsyncDisposable {
  /** Paths asked for, in order. */
  readonly requests: string[] = [];
  readonly #replies = new Map<string, GoReply>();
  readonly #contents = new Map<string, Readonly<Record<string, string>>>();
  readonly #server: Server;
  #url = '';

  private constructor() {
    this.#server = createServer((request, response) => {
      const path = request.url ?? '';
      this.requests.push(path);
      const reply = this.#replies.get(path) ?? { status: 404, body: ABSENT };
      send(reply, response).catch(() => response.destroy());
    });
  }

  static async start(): Promise<GoRegistry> {
    const registry = new GoRegistry();
    await registry.#listen(await steadyPort());
    return registry;
  }

  /** Such as `http://127.0.0.1:40001`. */
  get url(): string {
    return this.#url;
  }

  /** Lays down one answer; `path` is the escaped GOPROXY path with a leading slash. */
  put(path: string, reply: GoReply | string | Buffer): void {
    const plain = typeof reply === 'string' || Buffer.isBuffer(reply);
    this.#replies.set(path, plain ? { body: reply } : reply);
  }

  /** Lays down all files of a version and adds it to the module's list. `base` is the escaped module path. */
  release(module: string, version: string, more: GoRelease = {}): void {
    const { base = module, mod = `module ${module}\n`, go = 'package one\n' } = more;
    const files = { 'go.mod': mod, ...(more.files ?? { 'one.go': go }) };
    this.#contents.set(`${module}@${version}`, files);
    const at = `/${base}/@v/`;
    this.put(`${at}${version}.info`, JSON.stringify({ Version: version, Time: RELEASE_TIME }));
    this.put(`${at}${version}.mod`, mod);
    this.put(`${at}${version}.zip`, goZip(module, version, files));
    if (more.listed === false) return;
    const list = this.#replies.get(`${at}list`)?.body;
    this.put(`${at}list`, `${typeof list === 'string' ? list : ''}${version}\n`);
  }

  /** The files of every version that was released, by `module@version`, whatever was laid over them later. */
  get contents(): ReadonlyMap<string, Readonly<Record<string, string>>> {
    return this.#contents;
  }

  /** Paths that something was laid down for. */
  paths(): readonly string[] {
    return [...this.#replies.keys()];
  }

  /** Whether something was laid down for a path. */
  has(path: string): boolean {
    return this.#replies.has(path);
  }

  /** What was laid down for a path. Throws where nothing was. */
  reply(path: string): GoReply {
    const reply = this.#replies.get(path);
    if (reply === undefined) throw new Error(`nothing lies at ${path}`);
    return reply;
  }

  /** Lays down a version whose only package is an empty program in a folder. */
  tool(module: string, version: string, path: string): void {
    this.release(module, version, { files: { [`${path}/main.go`]: EMPTY_PROGRAM } });
  }

  /** Requests for paths with this ending. */
  asked(ending: string): number {
    return this.requests.filter((path) => path.endsWith(ending)).length;
  }

  /** Closes the port; `return` opens it again. */
  async leave(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async return(): Promise<void> {
    await this.#listen(Number(new URL(this.#url).port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }

  async #listen(port: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject).listen(port, '127.0.0.1', resolve);
    await promise;
    this.#server.off('error', reject);
    this.#url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
}

async function send(reply: GoReply, response: ServerResponse): Promise<void> {
  const { status = 200, body, cutAfter, silent, after = 'reset' } = reply;
  const { socket } = response;
  if (silent !== undefined) return leaveOff(socket, silent);
  if (reply.raw !== undefined) {
    socket?.end(reply.raw, 'latin1');
    return;
  }
  const known = typeof body === 'function' ? undefined : Buffer.from(body);
  const size = reply.chunked === true ? undefined : (reply.size ?? known?.length);
  response.statusCode = status;
  // The go command shows the body of an error only when it is plain text.
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  if (size !== undefined) response.setHeader('Content-Length', size);
  for (const [name, value] of Object.entries(reply.headers ?? {})) response.setHeader(name, value);
  if (known && cutAfter !== undefined) {
    // The head and what may pass must be on their way before the end.
    response.write(known.subarray(0, cutAfter), () => leaveOff(socket, after));
    return;
  }
  const pieces = typeof body === 'function' ? body() : [known ?? Buffer.alloc(0)];
  await pipeline(Readable.from(pieces), response);
}

function leaveOff(socket: Socket | null, how: 'reset' | 'close' | 'stall'): void {
  if (how === 'reset') socket?.resetAndDestroy();
  if (how === 'close') socket?.end();
}
