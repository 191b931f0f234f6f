import { chmodSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer, request } from 'node:http';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { isMainThread } from 'node:worker_threads';
import type { CallOptions } from '../body.ts';
import { codeOf, kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { clientGone } from './client-gone.ts';
import { problemOf, sendProblem } from './problem.ts';
import { newRequestId } from './request-id.ts';

/** Path below which the handlers lie, each under its name. */
export const CONTROL_PREFIX = '/control/';
/** Longest path of a Unix socket, in bytes, on every system caje runs on. */
export const MAX_SOCKET_PATH = 103;
/** Largest input of a call, in bytes. */
const MAX_INPUT = 1024 * 1024;
/** Call that every node answers with its process id. */
const HOLDER = 'holder';
/** Longest wait for that answer. */
const HOLDER_MS = 1000;

/**
 * One thing a running node does for its command line. Plain JSON in and out; an async iterable as output is sent
 * item by item, so that long work can show how far it is. `signal` is aborted when the caller leaves.
 */
export type ControlHandler = (input: unknown, options: CallOptions) => unknown;

/** What the control socket is made of. */
export interface ControlSocketOptions {
  /** Absolute path, such as `<data>/control.sock`. */
  readonly path: string;
  /** By name: lower-case letters and dashes. */
  readonly handlers: Readonly<Record<string, ControlHandler>>;
  readonly log: Logger;
}

/** An open control socket; disposing it cuts running calls and removes the file. */
export interface ControlSocket extends AsyncDisposable {
  readonly path: string;
}

/**
 * Opens the socket, for its owner alone (0600). That of a dead process is replaced. Throws `conflict` when a live process
 * answers there, `invalid` when the path is too long.
 */
export async function openControlSocket(options: ControlSocketOptions): Promise<ControlSocket> {
  const { path, log } = options;
  const handlers = { ...options.handlers, [HOLDER]: () => ({ pid: process.pid }) };
  await assertNoNode(path);
  await unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw unusable(path, error);
  });
  const server = createServer((req, res) => void answer(req, res, handlers, log));
  await listen(server, path);
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeAllConnections();
      await promise;
    },
  };
}

/**
 * Throws `conflict` naming the folder, and the process where it says so in a second, when a live one answers at this path, and `invalid`
 * when the path is too long.
 */
export async function assertNoNode(path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new ProxyError(
      'invalid',
      'control-socket.open',
      `the path ${path} is longer than the ${MAX_SOCKET_PATH} bytes a socket may have: choose a shorter data folder`,
    );
  const holder = await holderOf(path);
  if (holder === undefined) return;
  const who =
    holder.pid === undefined ? 'a process that does not say its id' : `process ${holder.pid}`;
  throw new ProxyError(
    'conflict',
    'control-socket.open',
    `another caje runs with this data folder, ${dirname(path)}: ${who} answers at ${path}`,
  );
}

/** Absent: nobody answers there. */
async function holderOf(path: string): Promise<{ readonly pid?: number | undefined } | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
  // One that hangs lets others connect and says nothing.
  const late = setTimeout(() => resolve(Buffer.of()), HOLDER_MS);
  const call = request({
    socketPath: path,
    method: 'POST',
    path: CONTROL_PREFIX + HOLDER,
    agent: false,
  });
  call.once(
    'response',
    (response) => void buffer(response).then(resolve, () => resolve(Buffer.of())),
  );
  call.once('error', (error) => {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') resolve(undefined);
    else if (code === 'ECONNRESET' || code?.startsWith('HPE_')) resolve(Buffer.of());
    else reject(unusable(path, error));
  });
  call.end();
  try {
    const answer = await promise;
    return answer && { pid: pidIn(answer.toString()) };
  } finally {
    clearTimeout(late);
    call.destroy();
  }
}

/** Absent: it is not said, as by a node of an earlier version. */
function pidIn(answer: string): number | undefined {
  try {
    const { pid } = JSON.parse(answer) as { pid?: unknown };
    return typeof pid === 'number' ? pid : undefined;
  } catch {
    return undefined;
  }
}

async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  // The file appears within `listen`: the mask keeps others out from its first moment. Only the main thread may set one.
  const mask = isMainThread ? process.umask(0o177) : undefined;
  try {
    server.listen(path, resolve);
  } finally {
    if (mask !== undefined) process.umask(mask);
  }
  try {
    await promise;
    chmodSync(path, 0o600);
  } catch (cause) {
    throw unusable(path, cause);
  }
}

function unusable(path: string, cause: unknown): ProxyError {
  const code = codeOf(cause);
  if (code === 'EADDRINUSE')
    return new ProxyError(
      'conflict',
      'control-socket.open',
      `another caje has just opened ${path}`,
      { cause },
    );
  return new ProxyError(
    'unavailable',
    'control-socket.open',
    `cannot use ${path}: ${code ?? messageOf(cause)}`,
    { cause },
  );
}

async function answer(
  req: IncomingMessage,
  res: ServerResponse,
  handlers: ControlSocketOptions['handlers'],
  log: Logger,
): Promise<void> {
  const name =
    req.url?.startsWith(CONTROL_PREFIX) === true ? req.url.slice(CONTROL_PREFIX.length) : '';
  try {
    const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
    if (req.method !== 'POST' || handler === undefined)
      throw new ProxyError(
        'not-found',
        'control-socket',
        `the running node does not know "${name}": is it of another version?`,
      );
    const signal = clientGone(res);
    const output = await handler(await readInput(req), { signal });
    if (isStream(output)) {
      res.writeHead(200, ['Content-Type', 'application/x-ndjson']);
      await pipeline(Readable.from(lines(output), { objectMode: false }), res);
      return;
    }
    const body = Buffer.from(`${JSON.stringify(output ?? null)}\n`);
    res.writeHead(200, ['Content-Type', 'application/json', 'Content-Length', String(body.length)]);
    res.end(body);
  } catch (error) {
    const requestId = newRequestId();
    if (kindOf(error) === 'internal')
      log.error({ requestId, call: name, detail: messageOf(error) }, 'control call failed');
    sendProblem(res, problemOf(error), requestId);
  }
}

/** `{"item": …}` for each, at the end of a failure `{"error": problem}`. */
async function* lines(items: AsyncIterable<unknown>): AsyncGenerator<string> {
  try {
    for await (const item of items) yield `${JSON.stringify({ item })}\n`;
  } catch (error) {
    yield `${JSON.stringify({ error: problemOf(error) })}\n`;
  }
}

function isStream(output: unknown): output is AsyncIterable<unknown> {
  return typeof output === 'object' && output !== null && Symbol.asyncIterator in output;
}

async function readInput(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_INPUT)
      throw new ProxyError(
        'too-large',
        'control-socket.input',
        `an input has at most ${MAX_INPUT} bytes`,
      );
    chunks.push(chunk);
  }
  if (size === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (cause) {
    throw new ProxyError('invalid', 'control-socket.input', 'the input is not JSON', { cause });
  }
}
