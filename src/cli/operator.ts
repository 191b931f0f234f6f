import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { z } from 'zod';
import type { CallOptions } from '../body.ts';
import type { Config } from '../config/config.ts';
import { didYouMean } from '../config/suggest.ts';
import { codeOf, ProxyError } from '../errors.ts';
import { callControl, streamControl } from '../http/control-client.ts';
import { createLogger } from '../log.ts';
import type { LoadedNode } from './load.ts';
import { warn } from './terminal.ts';

/** One command of an operator: asks the running node, or does the work itself where none runs. */
export interface Operator extends AsyncDisposable {
  /** True: a node answers. */
  readonly online: boolean;
  readonly config: Config;
  call<T>(name: string, output: z.ZodType<T>, input?: unknown): Promise<T>;
  /** Row by row, as they come. Aborting it stops the work. */
  stream<T>(
    name: string,
    row: z.ZodType<T>,
    input?: unknown,
    options?: CallOptions,
  ): AsyncIterable<T>;
}

interface Answers extends AsyncDisposable {
  call(name: string, input: unknown): Promise<unknown>;
  stream(name: string, input: unknown, options?: CallOptions): AsyncIterable<unknown>;
}

/** How a node's folder is opened. */
export interface OpenOptions {
  /** True: where there is no data folder, one is made: there is something to put into it. Absent: false. */
  readonly mayMake?: boolean | undefined;
}

/** Finds the node of a configuration by its data folder. Throws `not-found` where there is neither node nor folder. */
export async function openOperator(
  configFile: string | undefined,
  { mayMake = false }: OpenOptions = {},
): Promise<Operator> {
  // Loaded when they are needed: most commands find a running node and open nothing themselves.
  const { loadNode } = await import('./load.ts');
  const loaded = await loadNode(configFile);
  const socket = join(loaded.config.data, 'control.sock');
  const online = await isAnswering(socket);
  const answers = online ? askNode(socket) : await workAlone(loaded, mayMake);
  return {
    online,
    config: loaded.config,
    call: async (name, output, input) => read(output, await answers.call(name, input)),
    async *stream(name, row, input, options) {
      for await (const item of answers.stream(name, input, options)) yield read(row, item);
    },
    [Symbol.asyncDispose]: async () => await answers[Symbol.asyncDispose](),
  };
}

/** Says so where a rule that found nothing is not in the configuration either; what a former rule stored can still be named. */
export function warnOfUnknownRule({ rules }: Config, rule: string | undefined): void {
  const names = rules.map(({ name }) => name);
  if (rule === undefined || names.includes(rule)) return;
  warn(`the configuration has no rule ${JSON.stringify(rule)}${didYouMean(rule, names)}`);
}

function askNode(socket: string): Answers {
  return {
    call: async (name, input) => await callControl(socket, name, input),
    stream: (name, input, options) => streamControl(socket, name, input, options),
    [Symbol.asyncDispose]: async () => {},
  };
}

async function workAlone(loaded: LoadedNode, mayMake: boolean): Promise<Answers> {
  const folder = loaded.config.data;
  if (!mayMake && !existsSync(folder))
    throw new ProxyError(
      'not-found',
      'operator.open',
      `there is no data folder ${folder} and no node runs: name its configuration with --config`,
    );
  const [{ openOfflineNode }, { builtinTypes }] = await Promise.all([
    import('../offline-node.ts'),
    import('../builtin-types.ts'),
  ]);
  const node = await openOfflineNode({
    ...loaded,
    types: builtinTypes,
    log: createLogger('warn'),
  });
  const handler = (name: string) => {
    const found = node.handlers[name];
    if (!found) throw new ProxyError('internal', 'operator.call', `there is no command ${name}`);
    return found;
  };
  return {
    call: async (name, input) => await handler(name)(input, {}),
    stream: (name, input, options = {}) => handler(name)(input, options) as AsyncIterable<unknown>,
    [Symbol.asyncDispose]: async () => await node[Symbol.asyncDispose](),
  };
}

function read<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ProxyError(
    'unsupported',
    'operator.read',
    'the running node answers in another form: it is of another version than this command',
    { cause: parsed.error },
  );
}

/** Whether a node listens at a control socket. Throws `forbidden` where that may not be asked. */
export async function isAnswering(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once('connect', () => resolve(true));
  socket.once('error', (cause) => {
    if (codeOf(cause) !== 'EACCES') resolve(false);
    else
      reject(
        new ProxyError('forbidden', 'operator.open', `no permission to use ${path}`, { cause }),
      );
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
