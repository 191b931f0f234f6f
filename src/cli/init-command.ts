import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { initConfig } from '../config/init-config.ts';
import { codeOf, messageOf, ProxyError } from '../errors.ts';
import { print } from './terminal.ts';

/** Longest wait for the go command. Milliseconds. */
const GO_ENV_MS = 5_000;

/** `caje init`. */
export function addInitCommand(program: Command): void {
  program
    .command('init')
    .description("write a first caje.yaml from the clients' own settings")
    .option('-o, --output <file>', 'where to', 'caje.yaml')
    .option('-f, --force', 'overwrite it if it is there')
    .addHelpText('after', '\nExample:\n  caje init --output /etc/caje/caje.yaml')
    .action(async (options: { readonly output: string; readonly force?: boolean }) => {
      const { yaml, hints } = await initConfig({ env: process.env, runGoEnv });
      await write(options.output, yaml, options.force === true);
      print(`wrote ${options.output}; start the node with: caje serve --config ${options.output}`);
      for (const { about, command } of hints) print(`\n${about}:\n  ${command}`);
    });
}

async function write(path: string, yaml: string, force: boolean): Promise<void> {
  try {
    await writeFile(path, yaml, { mode: 0o640, flag: force ? 'w' : 'wx' });
  } catch (cause) {
    const op = 'init-command.write';
    switch (codeOf(cause)) {
      case 'EEXIST': {
        const way = '--force overwrites it, --output names another';
        throw new ProxyError('conflict', op, `${path} is there already: ${way}`, { cause });
      }
      case 'ENOENT':
      case 'ENOTDIR':
        throw new ProxyError('not-found', op, `the folder of ${path} is not there`, { cause });
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
        throw new ProxyError('forbidden', op, `no permission to write ${path}`, { cause });
      default:
        throw new ProxyError('unavailable', op, `cannot write ${path}: ${messageOf(cause)}`, {
          cause,
        });
    }
  }
}

async function runGoEnv(): Promise<Readonly<Record<string, string>> | undefined> {
  try {
    const { stdout } = await promisify(execFile)('go', ['env', '-json'], {
      timeout: GO_ENV_MS,
      // A go.mod around us must not make the command fetch another toolchain first.
      cwd: tmpdir(),
      env: { ...process.env, GOTOOLCHAIN: 'local', GOWORK: 'off' },
    });
    return JSON.parse(stdout) as Record<string, string>;
  } catch {
    return undefined;
  }
}
