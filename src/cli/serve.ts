import { builtinTypes } from '../builtin-types.ts';
import { messageOf } from '../errors.ts';
import { createLogger, type Logger, type LogLevel } from '../log.ts';
import { type RunningNode, startNode } from '../main.ts';
import type { ReloadSource } from '../reload.ts';
import { VERSION } from '../version.ts';
import { banner } from './banner.ts';
import { loadNode } from './load.ts';
import { type SlowServer, startSlowServer } from './slow-server.ts';
import { EXIT, print } from './terminal.ts';

/** What `serve` is told on the command line. */
export interface ServeOptions {
  readonly config?: string | undefined;
  /** Absent: `log.level`. */
  readonly logLevel?: LogLevel | undefined;
}

/** Longest wait for the node to close once a second signal came. Milliseconds. */
const LAST_MS = 1_000;

/** `caje serve`: runs a node until SIGTERM or SIGINT, drains it, and gives the exit code. A second signal cuts what is left. */
export async function serve(options: ServeOptions): Promise<number> {
  const { config, plugins, effective } = await loadNode(options.config);
  const log = createLogger(options.logLevel ?? config.log.level);
  let demo: SlowServer | undefined;
  const startDemo = async (): Promise<URL> => {
    demo ??= await startSlowServer({ host: '127.0.0.1', port: 0 });
    return new URL(demo.url);
  };
  const reload: ReloadSource = {
    effective,
    load: async () => await loadNode(options.config),
    // What the command line says holds for the whole run.
    setLogLevel: options.logLevel === undefined ? (level) => log.setLevel(level) : undefined,
  };
  endOnFault(log);
  let node: RunningNode | undefined;
  // From here on, so that a signal while the node starts also ends it in order.
  const stopped = untilStopped(log, () => node?.close());
  const onWedged = (): void => {
    log.error({}, 'LiteFS has to be started again: the node ends so that both are');
    process.exit(EXIT.wedged);
  };
  const started = onHangup(() => node?.reload());
  node = await startNode({
    ...{ config, types: builtinTypes, plugins, log, startDemo, reload, onWedged },
  });
  print(banner(node, config, VERSION));
  started();
  await stopped;
  try {
    await node.close();
  } catch (error) {
    log.error({ err: messageOf(error) }, 'the node did not close cleanly');
    return EXIT.failed;
  }
  await demo?.close();
  return EXIT.done;
}

function endOnFault(log: Logger): void {
  const end = (error: unknown): void => {
    const err = error instanceof Error ? error.stack : String(error);
    log.error({ err }, 'a fault that nothing caught: the node ends');
    process.exit(EXIT.failed);
  };
  process.on('uncaughtException', end).on('unhandledRejection', end);
}

/** SIGHUP loads the configuration again; one that comes earlier waits until what is given is called. */
function onHangup(reload: () => Promise<unknown> | undefined): () => void {
  let isStarted = false;
  let isDue = false;
  const run = (): void => {
    // Why it was refused is in the log.
    reload()?.catch(() => {});
  };
  process.on('SIGHUP', () => {
    if (isStarted) run();
    else isDue = true;
  });
  return () => {
    isStarted = true;
    if (isDue) run();
  };
}

async function untilStopped(log: Logger, cut: () => Promise<void> | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let signals = 0;
  const stop = (signal: NodeJS.Signals): void => {
    signals += 1;
    if (signals === 1) resolve();
    if (signals !== 2) return;
    log.warn({ signal }, 'a second signal: what is left is cut');
    cut()?.catch(() => {});
    setTimeout(() => process.exit(EXIT.failed), LAST_MS).unref();
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
  await promise;
}
