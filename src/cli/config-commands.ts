import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { builtinTypes } from '../builtin-types.ts';
import { configJsonSchema } from '../config/config-schema.ts';
import { initConfig } from '../config/init-config.ts';
import { printConfig, printDefaults } from '../config/print-config.ts';
import { ProxyError } from '../errors.ts';
import { loadNode } from './load.ts';
import { EXIT, print } from './terminal.ts';

/** Runs a command's work and keeps its exit code. */
export type Run = (work: () => Promise<number>) => Promise<void>;

interface ConfigOptions {
  readonly config?: string | undefined;
}

/** `caje config check | print | schema` and `caje init`. */
export function addConfigCommands(program: Command, run: Run): void {
  const config = program.command('config').description('look at the configuration');
  config
    .command('check')
    .description('say everything that is wrong with it; exit code 2 if anything is')
    .option('-c, --config <file>', 'configuration')
    .action(async (options: ConfigOptions) => await run(async () => await check(options)));
  config
    .command('print')
    .description('print what is in force, secrets masked')
    .option('-c, --config <file>', 'configuration')
    .option('--defaults', 'every key that has a default instead')
    .action(
      async (options: ConfigOptions & { defaults?: boolean }) =>
        await run(async () => {
          const loaded = await loadNode(options.config);
          process.stdout.write(
            options.defaults ? printDefaults(loaded.types) : printConfig(loaded),
          );
          return EXIT.done;
        }),
    );
  config
    .command('schema')
    .description('print the JSON Schema, for editors')
    .option('-c, --config <file>', 'configuration whose plug-ins count')
    .action(
      async (options: ConfigOptions) =>
        await run(async () => {
          const types =
            options.config === undefined ? builtinTypes : (await loadNode(options.config)).types;
          print(JSON.stringify(configJsonSchema(types), undefined, 2));
          return EXIT.done;
        }),
    );
  program
    .command('init')
    .description("write a first caje.yaml from the clients' own settings")
    .option('-o, --output <file>', 'where to', 'caje.yaml')
    .option('-f, --force', 'overwrite it if it is there')
    .action(
      async (options: { output: string; force?: boolean }) =>
        await run(async () => await init(options.output, options.force === true)),
    );
}

async function check(options: ConfigOptions): Promise<number> {
  const { config } = await loadNode(options.config);
  print(
    `${config.source}: fine, ${config.rules.length} ${config.rules.length === 1 ? 'rule' : 'rules'}`,
  );
  for (const note of config.notes) print(`note: ${note}`);
  return EXIT.done;
}

async function init(output: string, force: boolean): Promise<number> {
  if (!force && existsSync(output))
    throw new ProxyError(
      'conflict',
      'init',
      `${output} is there already: --force overwrites it, --output names another`,
    );
  const { yaml, hints } = await initConfig({ env: process.env, runGoEnv });
  await writeFile(output, yaml, { mode: 0o640 });
  print(`wrote ${output}; start the node with: caje serve --config ${output}`);
  for (const { about, command } of hints) print(`\n${about}:\n  ${command}`);
  return EXIT.done;
}

async function runGoEnv(): Promise<Readonly<Record<string, string>> | undefined> {
  try {
    const { stdout } = await promisify(execFile)('go', ['env', '-json'], {
      timeout: 5_000,
      cwd: tmpdir(),
      env: { ...process.env, GOTOOLCHAIN: 'local' },
    });
    return JSON.parse(stdout) as Record<string, string>;
  } catch {
    return undefined;
  }
}
