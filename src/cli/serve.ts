import { builtinTypes } from '../builtin-types.ts';
import { messageOf } from '../errors.ts';
import { createLogger, type LogLevel } from '../log.ts';
import { type RunningNode, startNode, VERSION } from '../main.ts';
import { banner } from './banner.ts';
import { loadNode } from './load.ts';
import { type SlowServer, startSlowServer } from './slow-server.ts';
import { EXIT, print } from './terminal.ts';

export interface ServeOptions {
  readonly config?: string | undefined;
  readonly logLevel?: LogLevel | undefined;
}

/** `caje serve`: runs a node until SIGTERM or SIGINT, drains it, and gives the exit code. A second signal cuts what is left. */
export async function serve(options: ServeOptions): Promise<number> {
  const loaded = await loadNode(options.config);
  const { config, plugins } = loaded;
  const log = createLogger(options.logLevel ?? config.log.level);
  let demo: SlowServer | undefined;
  const startDemo = async (): Promise<URL> => {
    demo ??= await startSlowServer({ host: '127.0.0.1', port: 0 });
    return new URL(demo.url);
  };
  const failed = (error: unknown): void => {
    log.error(
      { err: error instanceof Error ? error.stack : String(error) },
      'a fault that nothing caught: the node ends',
    );
    process.exit(EXIT.failed);
  };
  process.on('uncaughtException', failed).on('unhandledRejection', failed);
  const node = await startNode({ config, types: builtinTypes, plugins, log, startDemo });
  print(banner(node, config, VERSION));
  await untilStopped(node, (message) => log.warn({}, message));
  await demo?.close();
  return EXIT.done;
}

async function untilStopped(node: RunningNode, warn: (message: string) => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let signals = 0;
  const stop = (signal: string): void => {
    signals += 1;
    if (signals > 1) warn(`${signal} again: what is left is cut`);
    node.close().then(resolve, (error: unknown) => {
      warn(`the node did not close cleanly: ${messageOf(error)}`);
      resolve();
    });
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
  await promise;
}
