import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { finished } from 'node:stream/promises';

/** What a client of S3 calls; `uploads` lists open ones, `parts` those of one. */
export type S3Verb =
  | 'abort'
  | 'begin'
  | 'complete'
  | 'copy'
  | 'copyPart'
  | 'delete'
  | 'get'
  | 'head'
  | 'list'
  | 'part'
  | 'parts'
  | 'put'
  | 'uploads';

/** One call that came. */
export interface S3ProxyCall {
  readonly verb: S3Verb;
  /** Without the bucket; empty for calls on the bucket. */
  readonly key: string;
  readonly headers: IncomingHttpHeaders;
  /** The same for all tries of a call. */
  readonly invocation: string;
  /** From 1, over all calls. */
  readonly number: number;
  /** As `performance.now()` says. */
  readonly at: number;
}

/** What goes wrong with a call. Bytes are those of the body of the server's answer. */
export interface S3Fault {
  /** Answered so, with an error document of that name; the server learns of nothing. */
  readonly status?: number | undefined;
  readonly code?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** True: never answered, and the server learns of nothing. */
  readonly hang?: boolean | undefined;
  /** True: carried out, and the connection reset in place of the answer. */
  readonly lose?: boolean | undefined;
  /** The connection is reset after so many bytes. */
  readonly cutAfter?: number | undefined;
  /** Nothing more comes after so many bytes. */
  readonly stallAfter?: number | undefined;
  /** One bit of the byte there is flipped. */
  readonly flip?: number | undefined;
  /** Fields of the server's answer that are replaced. */
  readonly replace?: Readonly<Record<string, string>> | undefined;
  /** The body is this one instead. */
  readonly body?: Buffer | undefined;
}

/** How calls are treated. */
export interface S3Rule {
  /** Asked before the server learns of a call. */
  before?(call: S3ProxyCall): S3Fault | undefined | Promise<S3Fault | undefined>;
  /** Told when the server has answered and the client knows nothing of it yet. */
  after?(call: S3ProxyCall): void | Promise<void>;
}

/**
 * An HTTP proxy before an S3 server that signatures pass through, and that breaks single calls. Notes of rows come in their own
 * time, so they pass untouched and do not count.
 */
export class S3Proxy implements AsyncDisposable {
  /** Every call so far that concerns bodies. */
  readonly calls: S3ProxyCall[] = [];
  rule: S3Rule = {};
  readonly #target: URL;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #server = createServer((incoming, response) => {
    this.#serve(incoming, response).catch(() => response.destroy());
  });

  private constructor(target: string) {
    this.#target = new URL(target);
  }

  /** Starts one on a free port of 127.0.0.1. */
  static async start(target: string): Promise<S3Proxy> {
    const proxy = new S3Proxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await new Promise((resolve) => proxy.#server.once('listening', resolve));
    return proxy;
  }

  /** Such as `http://127.0.0.1:40001`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many calls of a kind came, on one key or on any. */
  count(verb: S3Verb, key?: string): number {
    return this.calls.filter(
      (call) => call.verb === verb && (key === undefined || call.key === key),
    ).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await closed;
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    if (isOfNotes(incoming)) {
      await passOn(await this.#forward(incoming, response), response, {}, incoming);
      return;
    }
    const call = { ...callOf(incoming), number: this.calls.length + 1, at: performance.now() };
    this.calls.push(call);
    const rule = this.rule;
    const fault = (await rule.before?.(call)) ?? {};
    if (fault.hang === true) return void incoming.resume();
    if (fault.status !== undefined) {
      incoming.resume();
      await finished(incoming).catch(() => undefined);
      return answerFault(fault, fault.status, call.verb, response);
    }
    const answer = await this.#forward(incoming, response);
    await rule.after?.(call);
    if (fault.lose === true) {
      answer.resume();
      return void incoming.socket.resetAndDestroy();
    }
    await passOn(answer, response, fault, incoming);
  }

  async #forward(incoming: IncomingMessage, response: ServerResponse): Promise<IncomingMessage> {
    const outgoing = request({
      host: this.#target.hostname,
      port: this.#target.port,
      method: incoming.method,
      path: incoming.url,
      // As they came: the signature is over Host too.
      headers: incoming.headers,
      agent: this.#agent,
    });
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    outgoing.once('response', resolve).once('error', reject);
    response.once('close', () => {
      if (!response.writableFinished) outgoing.destroy();
    });
    incoming.once('error', () => outgoing.destroy());
    incoming.pipe(outgoing);
    return await promise;
  }
}

async function passOn(
  answer: IncomingMessage,
  response: ServerResponse,
  { cutAfter, stallAfter, flip, replace, body }: S3Fault,
  incoming: IncomingMessage,
): Promise<void> {
  response.writeHead(answer.statusCode ?? 500, { ...answer.headers, ...replace });
  let passed = 0;
  const limit = cutAfter ?? stallAfter ?? Number.POSITIVE_INFINITY;
  const pieces = body === undefined ? answer : [body];
  if (body !== undefined) answer.resume();
  for await (const chunk of pieces) {
    const piece = (chunk as Buffer).subarray(0, limit - passed);
    if (flip !== undefined && flip >= passed && flip < passed + piece.length)
      piece[flip - passed] = (piece[flip - passed] ?? 0) ^ 1;
    passed += piece.length;
    await new Promise((resolve) => response.write(piece, resolve));
    if (passed < limit) continue;
    if (cutAfter !== undefined) incoming.socket.resetAndDestroy();
    return void answer.destroy();
  }
  response.end();
}

function answerFault(
  { code = 'InternalError', headers }: S3Fault,
  status: number,
  verb: S3Verb,
  response: ServerResponse,
): void {
  const document = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>by the test</Message></Error>`;
  response.writeHead(status, { 'content-type': 'application/xml', ...headers });
  response.end(verb === 'head' ? undefined : document);
}

function isOfNotes({ url = '' }: IncomingMessage): boolean {
  const { pathname, searchParams } = new URL(url, 'http://s3');
  const named =
    searchParams.get('prefix') ?? decodeURIComponent(pathname).split('/').slice(2).join('/');
  return /(?:^|\/)rows\//.test(named);
}

function callOf({
  method = '',
  url = '',
  headers,
}: IncomingMessage): Omit<S3ProxyCall, 'at' | 'number'> {
  const { pathname, searchParams } = new URL(url, 'http://s3');
  const key = decodeURIComponent(pathname).split('/').slice(2).join('/');
  const invocation = String(headers['amz-sdk-invocation-id'] ?? '');
  return {
    key,
    headers,
    invocation,
    verb: verbOf(method, searchParams, headers['x-amz-copy-source'] !== undefined),
  };
}

function verbOf(method: string, query: URLSearchParams, isCopy: boolean): S3Verb {
  const isUpload = query.has('uploadId');
  switch (method) {
    case 'HEAD':
      return 'head';
    case 'PUT':
      if (isUpload) return isCopy ? 'copyPart' : 'part';
      return isCopy ? 'copy' : 'put';
    case 'POST':
      return query.has('uploads') ? 'begin' : 'complete';
    case 'DELETE':
      return isUpload ? 'abort' : 'delete';
    default:
      if (query.has('list-type')) return 'list';
      if (query.has('uploads')) return 'uploads';
      return isUpload ? 'parts' : 'get';
  }
}
