import { chmodSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
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
  const { path, handlers, log } = options;
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new ProxyError(
      'invalid',
      'control-socket.open',
      `the path ${path} is longer than the ${MAX_SOCKET_PATH} bytes a socket may have: choose a shorter data folder`,
    );
  if (await answers(path))
    throw new ProxyError(
      'conflict',
      'control-socket.open',
      `another caje runs with this data folder: it answers at ${path}`,
    );
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

async function answers(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once('connect', () => resolve(true));
  socket.once('error', (error) => {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') resolve(false);
    else reject(unusable(path, error));
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
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
