import type { Command } from 'commander';
import { addConfigReloadCommand } from './config-reload-command.ts';
import { addImportAthensCommand } from './import-athens-command.ts';
import type { LoadedNode } from './load.ts';
import { print } from './terminal.ts';

interface ConfigOptions {
  readonly config?: string | undefined;
}

interface PrintOptions extends ConfigOptions {
  readonly defaults?: boolean | undefined;
}

/** `caje config check | print | schema | reload | import-athens`. */
export function addConfigCommands(program: Command): void {
  const config = program
    .command('config')
    .description('look at the configuration, or load it again')
    .addHelpText(
      'after',
      `
Examples:
  caje config check --config caje.yaml
  caje config print --defaults
  caje config schema > caje.schema.json`,
    );
  config
    .command('check')
    .description('say everything that is wrong with it; exit code 2 if anything is')
    .option('-c, --config <file>', 'configuration')
    .action(check);
  config
    .command('print')
    .description('print what is in force, secrets masked')
    .option('-c, --config <file>', 'configuration')
    .option('--defaults', 'every key that has a default instead')
    .action(printConfiguration);
  config
    .command('schema')
    .description('print the JSON Schema, for editors')
    .option('-c, --config <file>', 'configuration whose plug-ins count')
    .action(printSchema);
  addConfigReloadCommand(config);
  addImportAthensCommand(config);
}

async function check(options: ConfigOptions): Promise<void> {
  const { config } = await load(options);
  const count = config.rules.length;
  print(`${config.source}: fine, ${count} ${count === 1 ? 'rule' : 'rules'}`);
}

async function printConfiguration(options: PrintOptions): Promise<void> {
  const loaded = await load(options);
  const { printConfig, printDefaults } = await import('../config/print-config.ts');
  process.stdout.write(options.defaults ? printDefaults(loaded.types) : printConfig(loaded));
}

async function printSchema(options: ConfigOptions): Promise<void> {
  const { configJsonSchema } = await import('../config/config-schema.ts');
  const { builtinTypes } = await import('../builtin-types.ts');
  const types = options.config === undefined ? builtinTypes : (await load(options)).types;
  print(JSON.stringify(configJsonSchema(types), undefined, 2));
}

// What knows every component type is loaded when a command runs: help and version need not wait for it.
async function load(options: ConfigOptions): Promise<LoadedNode> {
  const { loadNode } = await import('./load.ts');
  return await loadNode(options.config);
}
