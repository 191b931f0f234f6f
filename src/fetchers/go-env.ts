import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { codeOf, messageOf } from '../errors.ts';
import type { Environment } from './http-proxy.ts';

/** A setting of the go command, and what kept it from answering. */
export interface GoEnv {
  /** Empty: neither the command nor the environment says anything. */
  readonly value: string;
  /** Why the command was of no use and the environment stood in. Absent: it answered. */
  readonly why?: string | undefined;
}

/** Longest wait for the go command. Milliseconds. */
const GO_ENV_MS = 5_000;

/** `go env NAME` on this machine; the variable of that name where there is no such command or it fails. */
export async function askGoEnv(name: string, env: Environment): Promise<GoEnv> {
  try {
    const { stdout } = await promisify(execFile)('go', ['env', name], {
      timeout: GO_ENV_MS,
      // A go.mod around us must not make the command fetch another toolchain first.
      cwd: tmpdir(),
      env: { ...env, GOTOOLCHAIN: 'local', GOWORK: 'off' },
    });
    return { value: stdout.trim() };
  } catch (error) {
    const why = codeOf(error) === 'ENOENT' ? 'there is no go command' : messageOf(error).trim();
    return { value: env[name]?.trim() ?? '', why };
  }
}

/**
 * One setting of the go command on this machine, else of the environment where there is no such command.
 * Absent: neither says anything.
 */
export async function readGoEnv(name: string, env: Environment): Promise<string | undefined> {
  return (await askGoEnv(name, env)).value || undefined;
}
