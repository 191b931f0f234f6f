import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

/** The program as a user starts it. */
export const CAJE: string = fileURLToPath(new URL('../../bin/caje', import.meta.url));

/** How a command is run. */
export interface RunOptions {
  /** Besides the environment of the tests, without their `CAJE_…` variables. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** What it reads from its standard input. Absent: nothing. */
  readonly input?: string | undefined;
  /** Another program than `bin/caje` of this checkout. */
  readonly program?: string | undefined;
  /** Milliseconds after which it is killed. Absent: 30,000. */
  readonly timeoutMs?: number | undefined;
}

/** How a command ended. */
export interface RunResult {
  /** Absent: a signal ended it. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

const TIMEOUT_MS = 30_000;

/** Runs `caje` with these arguments to its end. */
export async function runCaje(
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = spawn(options.program ?? CAJE, args, {
    cwd: options.cwd,
    env: cleanEnv(options.env),
    timeout: options.timeoutMs ?? TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  // One that exits without reading is no fault.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { code: code ?? undefined, stdout, stderr };
}

/** The environment of the tests without what would configure a node, and with what is given. */
export function cleanEnv(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('CAJE_') && name !== 'NODE_OPTIONS',
  );
  return { ...Object.fromEntries(entries), ...more };
}
