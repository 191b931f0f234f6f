import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Longest wait for the go command. Milliseconds. */
const GO_ENV_MS = 5_000;

/**
 * One setting of the go command on this machine, else of the environment where there is no such command.
 * Absent: neither says anything.
 */
export async function readGoEnv(
  name: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('go', ['env', name], { timeout: GO_ENV_MS, env });
    return stdout.trim() || undefined;
  } catch {
    return env[name]?.trim() || undefined;
  }
}
