import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { ConfigError } from '../config/config-error.ts';
import { codeOf, messageOf } from '../errors.ts';
import { plain, warn } from './terminal.ts';

/** `caje config import-athens`. */
export function addImportAthensCommand(config: Command): void {
  config
    .command('import-athens')
    .description('print a configuration that does what Athens is set to do')
    .option('-f, --file <athens.toml>', "Athens' own configuration; variables stand over it")
    .addHelpText(
      'after',
      `
Examples:
  caje config import-athens --file athens.toml > caje.yaml
  env $(cat athens.env) caje config import-athens > caje.yaml`,
    )
    .action(importFrom);
}

async function importFrom({ file }: { readonly file?: string | undefined }): Promise<void> {
  const { importAthens } = await import('../config/athens-import.ts');
  const { yaml, notes } = await importAthens({
    env: process.env,
    toml: file === undefined ? undefined : { name: file, text: await textOf(file) },
    readFile: async (path) => await readFile(path, 'utf8'),
    sumdb,
  });
  process.stdout.write(yaml);
  for (const { setting, reason } of notes) warn(plain(`${setting}: ${reason}`));
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const found = codeOf(error) ?? messageOf(error);
    const expected = 'a file that can be read';
    const message = `expected ${expected}, found ${found}`;
    throw new ConfigError([{ file, key: '', expected, found, message }]);
  }
}

async function sumdb(): Promise<string | undefined> {
  const { readGoEnv } = await import('../fetchers/go-env.ts');
  return await readGoEnv('GOSUMDB', process.env);
}
