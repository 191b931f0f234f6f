import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { stringify } from 'yaml';
import { builtinTypes } from '../../src/builtin-types.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { callControl } from '../../src/http/control-client.ts';
import { type RunningNode, startNode } from '../../src/main.ts';
import { eventually } from '../criteria/eventually.ts';
import { type AskOptions, type CutAnswer, HttpClient } from '../support/http-client.ts';
import { type RawExchange, rawExchange } from '../support/raw-http.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

/** What an origin saw of a request, and says in its answer unless a script says otherwise. */
export interface Seen {
  /** How many requests it had, this one too. */
  readonly number: number;
  readonly method: string;
  /** As sent. */
  readonly target: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Answers in another way than with an echo that may be kept for ten minutes. */
export type Script = (seen: Seen, res: ServerResponse) => void;
/** Answers with bytes; closes the connection itself where it is to be closed. */
export type RawScript = string | ((socket: Socket, head: string) => void);

type Tree = Readonly<Record<string, unknown>>;

/** What stands in the node's configuration. */
export interface PlaceOptions {
  /** Before the rule `all`, which serves every host from the echoing origin with the client's Host. */
  readonly rules?: readonly Tree[] | undefined;
  /** Any further key. */
  readonly config?: Tree | ((place: { readonly echoUrl: string }) => Tree) | undefined;
}

/** Host whose requests the raw origin answers. */
export const RAW_HOST = 'raw.test';

/** A node in this process between clients, an origin that echoes what it is asked, and one that says any bytes. */
export class InputPlace implements AsyncDisposable {
  readonly client: HttpClient = new HttpClient();
  readonly log: RecordedLog;
  readonly folder: TempFolder;
  /** Every request that an origin had, in order. */
  readonly seen: Seen[] = [];
  /** Of the echoing origin, by path without query. */
  readonly scripts: Map<string, Script> = new Map();
  /** Of the raw origin, by target. */
  readonly rawScripts: Map<string, RawScript> = new Map();
  /** Connections that the raw origin took so far. */
  rawConnections = 0;
  readonly #servers: readonly Server[];
  readonly #sockets = new Set<Socket>();
  #node: RunningNode | undefined;

  private constructor(folder: TempFolder) {
    this.folder = folder;
    this.log = new RecordedLog();
    const echo = createServer((req, res) => this.#echo(req, res));
    const raw = createTcpServer((socket) => this.#raw(socket)) as unknown as Server;
    this.#servers = [echo, raw];
  }

  /** Starts origins and node. */
  static async start(options: PlaceOptions = {}): Promise<InputPlace> {
    const place = new InputPlace(await tempFolder());
    await place.#start(options);
    return place;
  }

  get url(): string {
    return this.#node?.publicUrl ?? '';
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** Of the echoing origin. */
  get echoUrl(): string {
    return this.#urlOf(0);
  }

  /** Requests for a target, or for a path with whatever query, that reached an origin. */
  asked(target: string): number {
    return this.seen.filter((one) => one.target === target || one.target.startsWith(`${target}?`))
      .length;
  }

  /** A whole answer, or what came of one that was cut. */
  async ask(path: string, options: AskOptions = {}): Promise<CutAnswer> {
    return await this.client.getCut(this.url + path, options);
  }

  /** The same, with the body as an echo. */
  async echo(path: string, options: AskOptions = {}): Promise<Seen> {
    const { status, body, error } = await this.ask(path, options);
    expect([status, error], path).to.deep.equal([200, undefined]);
    return JSON.parse(body.toString()) as Seen;
  }

  /** Resolves once an answer for this path is on record; until then a request may still share the fetch. */
  async kept(path: string, count = 1): Promise<void> {
    const socket = join(this.folder.path, 'data', 'control.sock');
    await eventually(`${count} rows of ${path}`, async () => {
      const rows = (await callControl(socket, 'ls', {})) as { readonly key: string }[];
      return rows.filter(({ key }) => key.endsWith(path)).length >= count;
    });
  }

  /** One request as bytes on a connection of its own, which it should end. */
  async sendRaw(message: string): Promise<RawExchange> {
    return await rawExchange(this.port, message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.#node?.close();
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) await new Promise((done) => server.close(done));
    await this.folder[Symbol.asyncDispose]();
  }

  async #start({ rules = [], config = {} }: PlaceOptions): Promise<void> {
    for (const server of this.#servers) {
      server.on('connection', (socket: Socket) => {
        this.#sockets.add(socket);
        socket.on('close', () => this.#sockets.delete(socket));
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
    }
    const common = { protocol: 'http', fetch: 'echo', preserveHost: true };
    const tree = {
      listen: { public: '127.0.0.1:0' },
      storage: { local: { type: 'disk', path: 'blobs', keepFree: 0 } },
      fetchers: {
        echo: { type: 'origin', url: this.echoUrl },
        raw: { type: 'origin', url: this.#urlOf(1) },
      },
      rules: [
        { ...common, name: 'raw', host: RAW_HOST, fetch: 'raw' },
        ...rules.map((rule) => ({ ...common, ...rule })),
        { ...common, name: 'all' },
      ],
      ...(typeof config === 'function' ? config(this) : config),
    };
    await writeFile(join(this.folder.path, 'caje.yaml'), stringify(tree));
    const loaded = await loadConfig({ env: {}, types: builtinTypes, cwd: this.folder.path });
    this.#node = await startNode({
      ...loaded,
      plugins: [],
      types: builtinTypes,
      log: this.log,
      startDemo: async () => await Promise.reject(new Error('no demo here')),
    });
  }

  #urlOf(at: number): string {
    const address = this.#servers[at]?.address() as AddressInfo | undefined;
    return `http://127.0.0.1:${address?.port}`;
  }

  #note(method: string, target: string, headers: Record<string, string>): Seen {
    const seen = { number: this.seen.length + 1, method, target, headers };
    this.seen.push(seen);
    return seen;
  }

  #echo(req: IncomingMessage, res: ServerResponse): void {
    const target = req.url ?? '';
    const seen = this.#note(req.method ?? '', target, req.headers as Record<string, string>);
    req.resume();
    const script = this.scripts.get(target.split('?', 1)[0] ?? '');
    if (script) script(seen, res);
    else say(res, seen);
  }

  #raw(socket: Socket): void {
    this.rawConnections += 1;
    let head = '';
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      const whole = head;
      head = '';
      const [method = '', target = ''] = whole.split(' ', 2);
      this.#note(method, target, {});
      const script =
        this.rawScripts.get(target) ?? 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n';
      if (typeof script === 'string') socket.end(script, 'latin1');
      else script(socket, whole);
    });
  }
}

/** The echo of a request, to be kept for ten minutes unless these fields say otherwise. */
export function say(
  res: ServerResponse,
  seen: Seen,
  headers: OutgoingHttpHeaders = {},
  status = 200,
): void {
  const body = JSON.stringify(seen);
  const base = { 'Cache-Control': 'max-age=600', 'Content-Length': Buffer.byteLength(body) };
  res.writeHead(status, { ...base, ...headers });
  res.end(body);
}
