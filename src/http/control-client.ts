import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import { createInterface } from 'node:readline';
import type { CallOptions } from '../body.ts';
import type { ErrorKind } from '../errors.ts';
import { codeOf, messageOf, ProxyError } from '../errors.ts';
import { CONTROL_PREFIX } from './control-socket.ts';
import { PROBLEMS } from './problem.ts';

/**
 * Calls a running node and gives its output; of a streaming handler all items in a list. Throws what the handler threw,
 * `unavailable` when no node runs there.
 */
export async function callControl(
  path: string,
  name: string,
  input?: unknown,
  options: CallOptions = {},
): Promise<unknown> {
  const response = await send(path, name, input, options);
  if (isLines(response)) return await Array.fromAsync(items(response));
  return await readJson(response);
}

/** The same item by item, as they come; the output of a handler that does not stream is the only item. */
export async function* streamControl(
  path: string,
  name: string,
  input?: unknown,
  options: CallOptions = {},
): AsyncGenerator<unknown> {
  const response = await send(path, name, input, options);
  if (isLines(response)) yield* items(response);
  else yield await readJson(response);
}

async function send(
  path: string,
  name: string,
  input: unknown,
  { signal }: CallOptions,
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const body = Buffer.from(JSON.stringify(input ?? null));
  const call = request(
    {
      socketPath: path,
      method: 'POST',
      path: `${CONTROL_PREFIX}${name}`,
      agent: false,
      ...(signal && { signal }),
      headers: { 'Content-Type': 'application/json', 'Content-Length': body.length },
    },
    resolve,
  );
  call.on('error', reject);
  call.end(body);
  let response: IncomingMessage;
  try {
    response = await promise;
  } catch (cause) {
    throw lost(path, cause);
  }
  if (response.statusCode === 200) return response;
  throw errorOf(await readJson(response));
}

function lost(path: string, cause: unknown): unknown {
  const code = codeOf(cause);
  if (code === 'ABORT_ERR') return cause;
  if (code === 'EACCES')
    return new ProxyError('forbidden', 'control-client', `no permission to use ${path}`, { cause });
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return new ProxyError('unavailable', 'control-client', `no node runs at ${path}`, { cause });
  return new ProxyError(
    'unavailable',
    'control-client',
    `the node at ${path} broke off: ${messageOf(cause)}`,
    { cause },
  );
}

function isLines(response: IncomingMessage): boolean {
  return response.headers['content-type'] === 'application/x-ndjson';
}

async function* items(response: IncomingMessage): AsyncGenerator<unknown> {
  const lines = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    for await (const line of lines) {
      const { item, error } = JSON.parse(line) as { item?: unknown; error?: unknown };
      if (error !== undefined) throw errorOf(error);
      yield item;
    }
    if (!response.complete)
      throw new ProxyError('unavailable', 'control-client', 'the node broke off its answer');
  } catch (error) {
    if (error instanceof ProxyError || (error instanceof Error && error.name === 'AbortError'))
      throw error;
    throw new ProxyError('unavailable', 'control-client', 'the node broke off its answer', {
      cause: error,
    });
  } finally {
    lines.close();
    response.destroy();
  }
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (cause) {
    throw new ProxyError('unavailable', 'control-client', 'the node broke off its answer', {
      cause,
    });
  }
}

function errorOf(problem: unknown): ProxyError {
  const { code, detail } = problem as { code?: string; detail?: string };
  const kind =
    code !== undefined && Object.hasOwn(PROBLEMS, code) ? (code as ErrorKind) : 'internal';
  return new ProxyError(kind, 'control-client', detail ?? 'the node failed');
}
