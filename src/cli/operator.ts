import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { builtinTypes } from '../builtin-types.ts';
import { ProxyError } from '../errors.ts';
import { callControl, streamControl } from '../http/control-client.ts';
import { createLogger } from '../log.ts';
import { openOfflineNode } from '../offline-node.ts';
import { loadNode } from './load.ts';

/** One command of an operator: asks the running node, or does the work itself where none runs. */
export interface Operator extends AsyncDisposable {
  /** True: a node answers. */
  readonly online: boolean;
  call(name: string, input?: unknown): Promise<unknown>;
  /** Row by row, as they come. */
  stream(name: string, input?: unknown): AsyncIterable<unknown>;
}

/** Finds the node of a configuration by its data folder. */
export async function openOperator(configFile: string | undefined): Promise<Operator> {
  const loaded = await loadNode(configFile);
  const socket = join(loaded.config.data, 'control.sock');
  if (await answers(socket)) {
    return {
      online: true,
      call: async (name, input) => await callControl(socket, name, input),
      stream: (name, input) => streamControl(socket, name, input),
      [Symbol.asyncDispose]: async () => {},
    };
  }
  if (!existsSync(loaded.config.data)) {
    const folder = loaded.config.data;
    throw new ProxyError(
      'not-found',
      'operator.open',
      `there is no data folder ${folder} and no node runs: name its configuration with --config`,
    );
  }
  const node = await openOfflineNode({
    ...loaded,
    types: builtinTypes,
    log: createLogger('warn'),
  });
  const handler = (name: string) => {
    const found = node.handlers[name];
    if (!found) throw new ProxyError('invalid', 'operator.call', `there is no command ${name}`);
    return found;
  };
  return {
    online: false,
    call: async (name, input) => await handler(name)(input, {}),
    stream: (name, input) => handler(name)(input, {}) as AsyncIterable<unknown>,
    [Symbol.asyncDispose]: async () => await node[Symbol.asyncDispose](),
  };
}

async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
