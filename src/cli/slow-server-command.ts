import type { Command } from 'commander';
import { codeOf, messageOf, ProxyError } from '../errors.ts';
import { parsePort } from './command-options.ts';
import { type SlowServer, startSlowServer } from './slow-server.ts';
import { print } from './terminal.ts';

interface SlowServerOptions {
  readonly port: number;
  readonly host: string;
}

/** `caje slow-server`. */
export function addSlowServerCommand(program: Command): void {
  program
    .command('slow-server')
    .description('run the demo origin by itself: slow, counting, echoing')
    .option('-p, --port <port>', 'port; 0 takes a free one', parsePort, 3000)
    .option('--host <address>', 'address', '127.0.0.1')
    .addHelpText(
      'after',
      '\nExample:\n  caje slow-server --port 3000 & curl -i http://127.0.0.1:3000/fast',
    )
    .action(async (options: SlowServerOptions) => {
      const server = await start(options);
      print(`slow server listens on ${server.url}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      process.once('SIGTERM', () => resolve()).once('SIGINT', () => resolve());
      await promise;
      await server.close();
    });
}

async function start(options: SlowServerOptions): Promise<SlowServer> {
  try {
    return await startSlowServer(options);
  } catch (cause) {
    const why =
      codeOf(cause) === 'EADDRINUSE' ? 'another process uses this port' : messageOf(cause);
    throw new ProxyError(
      'unavailable',
      'slow-server-command.start',
      `cannot listen on ${options.host}:${options.port}: ${why}`,
      { cause },
    );
  }
}
