import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { VERSION } from '../main.ts';
import { addConfigCommands } from './config-commands.ts';
import { addOperatorCommands } from './operator-commands.ts';
import { serve } from './serve.ts';
import { startSlowServer } from './slow-server.ts';
import { complain, EXIT, print } from './terminal.ts';

const program = new Command('caje')
  .description('A pull-through node: a caching reverse proxy and a Go module proxy.')
  .version(VERSION, '-V, --version', 'print the version')
  .showHelpAfterError('(caje --help explains)')
  .exitOverride()
  .configureHelp({ showGlobalOptions: true });

let exitCode: number = EXIT.done;
const run = (work: () => Promise<number>): Promise<void> =>
  work().then(
    (code) => {
      exitCode = code;
    },
    (error: unknown) => {
      exitCode = complain(error);
    },
  );

program
  .command('serve')
  .description('run a node until it is told to stop')
  .option('-c, --config <file>', 'configuration; default: CAJE_CONFIG, ./caje.yaml, built-in')
  .option('--log-level <level>', 'debug, info, warn, error or silent')
  .addHelpText('after', '\nExample:\n  caje serve --config caje.yaml')
  .action(async (options) => await run(async () => await serve(options)));

addConfigCommands(program, run);
addOperatorCommands(program, run);

program
  .command('slow-server')
  .description('run the test origin: slow, counting, echoing')
  .option('-p, --port <port>', 'port; 0 takes a free one', port, 3000)
  .option('--host <address>', 'address', '127.0.0.1')
  .action(
    async (options: { port: number; host: string }) =>
      await run(async () => {
        const server = await startSlowServer(options);
        print(`slow server listens on ${server.url}`);
        const { promise, resolve } = Promise.withResolvers<void>();
        process.once('SIGTERM', () => resolve()).once('SIGINT', () => resolve());
        await promise;
        await server.close();
        return EXIT.done;
      }),
  );

function port(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0 || number > 65_535)
    throw new InvalidArgumentError('expected a port from 0 to 65535.');
  return number;
}

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
}
// Sockets that a library keeps for its next request must not hold up the end of a command.
process.exit(exitCode);
