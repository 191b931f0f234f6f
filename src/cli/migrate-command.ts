import type { Command } from 'commander';
import { createLogger } from '../log.ts';
import { type OperatorOptions, withOperatorOptions } from './command-options.ts';
import { EXIT, print } from './terminal.ts';

/** `caje migrate`. */
export function addMigrateCommand(program: Command): void {
  const command = program
    .command('migrate')
    .description('bring the manifest to the newest schema under its lock, and end');
  withOperatorOptions(command)
    .addHelpText(
      'after',
      `
A node does the same when it starts. Where several nodes share a manifest, run it on one of them before the first node of a new
version starts. It makes the manifest where there is none, and a second run changes nothing.

Example:
  caje migrate --config caje.yaml`,
    )
    .action(async (options: OperatorOptions) => {
      process.exitCode = await migrate(options);
    });
}

async function migrate({ config: file, json = false }: OperatorOptions): Promise<number> {
  const [{ loadNode }, { builtinTypes }, { migrateManifest }] = await Promise.all([
    import('./load.ts'),
    import('../builtin-types.ts'),
    import('../migrate-manifest.ts'),
  ]);
  const loaded = await loadNode(file);
  const done = await migrateManifest({
    ...loaded,
    types: builtinTypes,
    log: createLogger('warn'),
  });
  if (json) print(JSON.stringify(done));
  else print(told(done));
  return EXIT.done;
}

function told({ path, from, to }: { path: string; from: number; to: number }): string {
  if (from === to) return `${path}: version ${to} already`;
  return from === 0 ? `${path}: made, version ${to}` : `${path}: version ${from} → ${to}`;
}
