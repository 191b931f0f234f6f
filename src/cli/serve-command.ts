import { type Command, Option } from 'commander';
import type { LogLevel } from '../log.ts';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

/** `caje serve`. */
export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('run a node until it is told to stop')
    .option('-c, --config <file>', 'configuration; default: CAJE_CONFIG, ./caje.yaml, built-in')
    .addOption(new Option('--log-level <level>', 'instead of log.level').choices(LEVELS))
    .addHelpText(
      'after',
      `
The banner goes to standard output, the log as JSON lines to standard error. SIGTERM and SIGINT let
requests finish (drain.grace), a second one cuts them.

Examples:
  caje serve --config caje.yaml
  CAJE_LISTEN__PUBLIC=127.0.0.1:9000 caje serve --log-level warn`,
    )
    .action(async (options: { config?: string; logLevel?: LogLevel }) => {
      const { serve } = await import('./serve.ts');
      process.exitCode = await serve(options);
    });
}
